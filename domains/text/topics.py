"""Topics, kinds and moods of short texts: standard sets of general text, read from a mirror."""

from domains.fetch import PinnedFile
from domains.mirror import FileReader
from domains.source import Source

XU = (
    "J. Xu, B. Xu, P. Wang, S. Zheng, G. Tian, J. Zhao and B. Xu. Self-Taught Convolutional Neural Networks for Short "
    "Text Clustering. Neural Networks 88, 2017, 22-31"
)
AGNEWS = PinnedFile(
    "text/agnews.parquet", "894c3a4ad824a7d7123271baa4a6b05bdc822fc1c1c7458b90fed47d449ab4e8", size=854087
)
AMAZON = PinnedFile(
    "text/amazon_sentiment.parquet", "403ad448760d65a46e34e807193f77d53a9ce1a50e1b51c3259eb6db4e323b87", size=6549788
)
MAG = PinnedFile("text/mag.parquet", "0d8862dcb91eab00099191f62c2cabd2d2b809a6a48f9afecbc442c59f6a790c", size=1062188)
STACKOVERFLOW = PinnedFile(
    "text/stc2_stackoverflow.parquet", "2a298be1c7d5c9214dc8fc969fd528fea1e9fecb73f6ea2c7e58e8c9b6389fc8", size=540960
)
SNIPPETS = PinnedFile(
    "text/stc2_searchsnippets.parquet", "90b9abc2093915518ab8c54d7cf271223d023f7e11f1e2904ed18605bd2c0844", size=592708
)
TREC = PinnedFile("text/trec.parquet", "8bfddbf9cd6033ed1907b23d102be15e20e6722b9833f8a14cbb6c511479ad50", size=148199)
SST5 = PinnedFile("text/sst5.parquet", "15f52199d47a04e0e7a1e8722d9531c0cdc9a79d1121f90e1e547fb1fe48a138", size=586705)
EMOTION = PinnedFile(
    "text/tweeteval_emotion.parquet", "0fa70f53c5ce605486d1c23b3125a211398f2bc1223530fa2c5e774a25e94694", size=250466
)

SOURCES = (
    Source(
        name="agnews",
        family="text",
        role="source",
        title="AG News, test half: world, sports, business or technology",
        read=FileReader((AGNEWS,)),
        licence="articles: copyright of their publishers; non-commercial use",
        citation=(
            "X. Zhang, J. Zhao and Y. LeCun. Character-level Convolutional Networks for Text Classification. "
            "NeurIPS 2015"
        ),
        where="http://groups.di.unipi.it/~gulli/AG_corpus_of_news_articles.html, the test half of Zhang et al.",
        classes=4,
        examples=7600,
        quick=False,
    ),
    Source(
        name="amazon_products",
        family="text",
        role="source",
        title="Amazon reviews: what kind of product is reviewed",
        read=FileReader((AMAZON,), label="domain", without=("health_personal_care",)),
        licence="reviews: none stated, for research",
        citation=(
            "J. Blitzer, M. Dredze and F. Pereira. Biographies, Bollywood, Boom-boxes and Blenders: Domain Adaptation "
            "for Sentiment Classification. ACL 2007, 440-447"
        ),
        where=("https://www.cs.jhu.edu/~mdredze/datasets/sentiment, 25 kinds of product; not the 24 of Bao et al."),
        medical_labels=("health_personal_care",),
        classes=24,
        examples=29133,
        quick=False,
    ),
    Source(
        name="mag",
        family="text",
        role="source",
        title="Microsoft Academic Graph: the field of a paper, from its title",
        read=FileReader((MAG,), without=("medicine",)),
        licence="ODC-BY 1.0",
        citation=(
            "I. Beltagy, K. Lo and A. Cohan. SciBERT: A Pretrained Language Model for Scientific Text. EMNLP-IJCNLP "
            "2019, 3615-3620 (Paper Field)"
        ),
        where="https://github.com/allenai/scibert, development and test splits as one table",
        medical_labels=("medicine",),
        classes=6,
        examples=23978,
        quick=False,
    ),
    Source(
        name="stc2_stackoverflow",
        family="text",
        role="source",
        title="Stack Overflow: which tool the title of a question is about",
        read=FileReader((STACKOVERFLOW,)),
        licence="titles: CC BY-SA (Stack Exchange)",
        citation=XU,
        where="https://github.com/jacoxu/STC2, all 20,000 titles",
        classes=20,
        examples=19985,
        quick=False,
    ),
    Source(
        name="stc2_searchsnippets",
        family="text",
        role="source",
        title="Search snippets: which of eight subjects, by number",
        read=FileReader((SNIPPETS,), without=("6",)),
        licence="none stated, for research",
        citation=(
            "X.-H. Phan, L.-M. Nguyen and S. Horiguchi. Learning to Classify Short and Sparse Text & Web with Hidden "
            "Topics from Large-scale Data Collections. WWW 2008, 91-100; " + XU
        ),
        where="https://github.com/jacoxu/STC2; subject 6 is health",
        medical_labels=("6",),
        classes=7,
        examples=10991,
        quick=False,
    ),
    Source(
        name="trec50",
        family="text",
        role="source",
        title="TREC questions, all as published: the kind of answer that is asked for",
        read=FileReader((TREC,), without=("ENTY:dismed", "ENTY:body")),
        licence="none stated by its authors",
        citation="X. Li and D. Roth. Learning Question Classifiers. COLING 2002",
        where="https://cogcomp.seas.upenn.edu/Data/QA/QC, both splits as one table",
        medical_labels=("ENTY:dismed", "ENTY:body"),
        overlaps=("trec",),
        classes=48,
        examples=5748,
        quick=False,
    ),
    Source(
        name="sst5",
        family="text",
        role="source",
        title="Stanford Sentiment Treebank: how good a sentence finds a film, 0 to 4",
        read=FileReader((SST5,)),
        licence="none stated by its authors",
        citation=(
            "R. Socher et al. Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank. EMNLP "
            "2013, 1631-1642"
        ),
        where="https://nlp.stanford.edu/sentiment, all splits as one table",
        classes=5,
        examples=11841,
        quick=False,
    ),
    Source(
        name="tweeteval_emotion",
        family="text",
        role="source",
        title="TweetEval: anger, joy, optimism or sadness of a tweet",
        read=FileReader((EMOTION,)),
        licence="tweets: under the terms of Twitter; for research",
        citation=(
            "S. Mohammad et al. SemEval-2018 Task 1: Affect in Tweets. SemEval 2018, 1-17; F. Barbieri et al. "
            "TweetEval. Findings of EMNLP 2020, 1644-1650"
        ),
        where="https://github.com/cardiffnlp/tweeteval, all splits as one table",
        classes=4,
        examples=5027,
        quick=False,
    ),
)

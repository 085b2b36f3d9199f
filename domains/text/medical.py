"""Medical text: what abstracts, titles, sentences and questions are about, read from a mirror."""

from domains.fetch import PinnedFile
from domains.mirror import FileReader
from domains.source import Source
from domains.text.topics import XU

OHSUMED = PinnedFile(
    "text/ohsumed23.parquet", "3ebc6d105dd8fca9c4cc54275620fdad1aebf25e45d0c91e16371c20ad6f7ddd", size=3392676
)
BIOMEDICAL = PinnedFile(
    "text/stc2_biomedical.parquet", "00a7444f6eaf3512315e0e8a7f8ffa1db1322670ad785631752452b1a1502ab7", size=637239
)
ABSTRACTS = PinnedFile(
    "text/medical_abstracts.parquet", "cbfc4f5b5f5b41a0439680ab9183f73b477b6afff7e7ebaa0f2c2654a889e4ac", size=1299547
)
CHEMPROT = PinnedFile(
    "text/chemprot.parquet", "281e2789b85c17fdb3b4311bd32f056612db52fb977e842f606b6bdc2133fad2", size=430044
)
MEDQUAD = PinnedFile(
    "text/medquad_question_type.parquet",
    "b4005ac62dc5662315f20fb217d5dc482203e6f9e6322425348cf69866b4908e",
    size=382585,
)

SOURCES = (
    Source(
        name="ohsumed23",
        family="text",
        role="target",
        title="Ohsumed: which of 23 groups of diseases an abstract is about",
        read=FileReader((OHSUMED,)),
        licence="abstracts of MEDLINE: none stated, for research",
        citation=(
            "W. Hersh, C. Buckley, T. J. Leone and D. Hickam. OHSUMED: An Interactive Retrieval Evaluation and New "
            "Large Test Collection for Research. SIGIR 1994, 192-201; selection: T. Joachims, ECML 1998"
        ),
        where="https://disi.unitn.it/moschitti/corpora.htm, abstracts of one group only, both splits as one table",
        medical=True,
        overlaps=("medical_abstracts",),  # 797 abstracts are in both
        classes=23,
        examples=3898,
        quick=False,
    ),
    Source(
        name="stc2_biomedical",
        family="text",
        role="target",
        title="Biomedical titles: which of 20 topics, by number",
        read=FileReader((BIOMEDICAL,)),
        licence="titles of PubMed, from BioASQ: none stated, for research",
        citation=XU,
        where="https://github.com/jacoxu/STC2, all 20,000 titles",
        medical=True,
        classes=20,
        examples=4000,
        quick=False,
    ),
    Source(
        name="medical_abstracts",
        family="text",
        role="target",
        title="Medical Abstracts: which of five conditions a patient has",
        read=FileReader((ABSTRACTS,)),
        licence="CC BY-SA 3.0",
        citation=(
            "T. Schopf, D. Braun and F. Matthes. Evaluating Unsupervised Text Classification: Zero-shot and "
            "Similarity-based Approaches. NLPIR 2022, 6-15"
        ),
        where="https://github.com/sebischair/Medical-Abstracts-TC-Corpus, the test split; texts of two labels left out",
        medical=True,
        classes=5,
        examples=2500,
        quick=False,
    ),
    Source(
        name="chemprot",
        family="text",
        role="target",
        title="ChemProt: what a chemical does to a protein, from a sentence",
        read=FileReader((CHEMPROT,)),
        licence="none stated, for research",
        citation=(
            "J. Kringelum et al. ChemProt-3.0: a global chemical biology diseases mapping. Database 2016, bav123; "
            "sentences: M. Krallinger et al. BioCreative VI, 2017"
        ),
        where="https://github.com/allenai/scibert, all splits as one table",
        medical=True,
        classes=13,
        examples=3026,
        quick=False,
    ),
    Source(
        name="medquad_question_type",
        family="text",
        role="source",
        title="MedQuAD: what a question about an illness or a drug asks for (by template: easy)",
        read=FileReader((MEDQUAD,)),
        licence="CC BY 4.0",
        citation=(
            "A. Ben Abacha and D. Demner-Fushman. A Question-Entailment Approach to Question Answering. BMC "
            "Bioinformatics 20, 2019, 511"
        ),
        where="https://github.com/abachaa/MedQuAD, the questions of all twelve collections",
        medical=True,
        classes=39,
        examples=44603,
        quick=False,
    ),
)

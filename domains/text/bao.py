"""News and newsgroups in the class splits of Bao et al.: the field's benchmark of few-shot text classification.

Y. Bao, M. Wu, S. Chang and R. Barzilay. Few-shot Text Classification with Distributional Signatures. ICLR 2020. Of its
six sets, Amazon (24 categories), RCV1 and FewRel are not here; ``amazon_products`` is another collection.
"""

from domains.class_split import class_split
from domains.fetch import PinnedFile
from domains.mirror import FileReader
from domains.source import Source

BY = "Bao et al. 2020"
HUFFPOST_FILE = PinnedFile(
    "text/huffpost.parquet", "e322a04577f4722ab1bd07cc152d15c44f28109bd7265ea724200d0add612781", size=1198787
)
NEWSGROUPS_FILE = PinnedFile(
    "text/20news.parquet", "16b40b74e2e7e5b14cff11b85e825855faab839065e1adbb85afe4fecfd03c9c", size=6589840
)
REUTERS_FILE = PinnedFile(
    "text/reuters31.parquet", "1af10bce6ba69a968bfc66b3a503e0262a5a1a8daff0952f056ff7f3ca10514e", size=239095
)

#: Sections by number: 0 to 19, 20 to 24 and 25 to 40.
HUFFPOST = {
    "train": (
        *("00_POLITICS", "01_WELLNESS", "02_ENTERTAINMENT", "03_TRAVEL TRIP", "04_STYLE BEAUTY", "05_PARENTING"),
        *("06_HEALTHY LIVING", "07_QUEER VOICES", "08_FOOD DRINK", "09_BUSINESS COMPANY", "10_COMEDY", "11_SPORTS"),
        *("12_BLACK VOICES", "13_HOME LIVING", "14_PARENTS", "15_WORLD POST", "16_WEDDINGS", "17_WOMEN", "18_IMPACT"),
        "19_DIVORCE",
    ),
    "validation": ("20_CRIME", "21_MEDIA", "22_WEIRD NEWS", "23_GREEN", "24_WORLD POST"),
    "test": (
        *("25_RELIGION belief", "26_STYLE fashion", "27_SCIENCE", "28_WORLD NEWS", "29_TASTE", "30_TECH TECHNOLOGY"),
        *("31_MONEY", "32_ARTS ART", "33_FIFTY", "34_GOOD NEWS", "35_ARTS CULTURE", "36_ENVIRONMENT"),
        *("37_COLLEGE UNIVERSITY SCHOOL", "38_LATINO VOICES", "39_CULTURE ARTS", "40_EDUCATION"),
    ),
}

#: Newsgroups by hierarchy: sci and rec, comp, and the others.
NEWSGROUPS = {
    "train": (
        *("rec.autos", "rec.motorcycles", "rec.sport.baseball", "rec.sport.hockey"),
        *("sci.crypt", "sci.electronics", "sci.med", "sci.space"),
    ),
    "validation": (
        *("comp.graphics", "comp.os.ms-windows.misc", "comp.sys.ibm.pc.hardware", "comp.sys.mac.hardware"),
        "comp.windows.x",
    ),
    "test": (
        *("alt.atheism", "misc.forsale", "soc.religion.christian", "talk.politics.guns", "talk.politics.mideast"),
        *("talk.politics.misc", "talk.religion.misc"),
    ),
}

#: Topics in the order of Reuters' own codes (acq, alum, bop, ...): the first 15, the next 5 and the last 11. Bao et al.
#: publish which numbers are in which part, not which topic has which number: that order is our reading.
REUTERS = {
    "train": (
        *("acquisitions", "aluminium", "balance of payment", "cocoa", "coffee", "copper", "cotton"),
        *("consumer price index", "crude", "earn", "gross national product", "gold", "grain", "interest"),
        "industrial production index",
    ),
    "validation": ("iron and steel", "jobs", "livestock", "money foreign exchange", "money supply"),
    "test": (
        *("natural gas", "orange", "reserves", "retail", "rubber", "ship", "sugar", "tin", "trade", "vegetable oil"),
        "wholesale price index",
    ),
}

HUFFPOST_WHOLE = Source(
    name="huffpost",
    family="text",
    role="source",
    title="HuffPost: which section a headline was printed in",
    read=FileReader((HUFFPOST_FILE,), without=("01_WELLNESS", "06_HEALTHY LIVING")),
    licence="headlines: copyright HuffPost; the collection: CC BY 4.0",
    citation="R. Misra. News Category Dataset. arXiv 2209.11429, 2022; sections and split: " + BY,
    where="https://www.kaggle.com/datasets/rmisra/news-category-dataset, 900 headlines of each of 41 sections",
    medical_labels=("01_WELLNESS", "06_HEALTHY LIVING"),
    classes=39,
    examples=34906,
    quick=False,
)
NEWSGROUPS_WHOLE = Source(
    name="20newsgroups",
    family="text",
    role="source",
    title="20 Newsgroups as written: which newsgroup a post was sent to",
    read=FileReader((NEWSGROUPS_FILE,), without=("sci.med",)),
    licence="posts of 1993: none stated",
    citation="K. Lang. NewsWeeder: Learning to Filter Netnews. ICML 1995, 331-339; split: " + BY,
    where="http://qwone.com/~jason/20Newsgroups, both splits as one table",
    medical_labels=("sci.med",),
    overlaps=("20news",),
    classes=19,
    examples=17373,
    quick=False,
)
REUTERS_WHOLE = Source(
    name="reuters31",
    family="text",
    role="source",
    title="Reuters-21578: the one topic of a newswire story, 20 stories a topic",
    read=FileReader((REUTERS_FILE,)),
    licence="copyright Reuters Ltd., free distribution for research purposes only",
    citation="D. D. Lewis. Reuters-21578, Distribution 1.0, 1997; topics and split: " + BY,
    where="https://kdd.ics.uci.edu/databases/reuters21578, the 31 topics that Bao et al. kept",
    overlaps=("reuters",),
    classes=31,
    examples=618,
    quick=False,
)

SOURCES = (
    HUFFPOST_WHOLE,
    *class_split(HUFFPOST_WHOLE, HUFFPOST, (17869, 4498, 3600), BY),
    NEWSGROUPS_WHOLE,
    *class_split(NEWSGROUPS_WHOLE, NEWSGROUPS, (7711, 4757, 2700), BY),
    REUTERS_WHOLE,
    *class_split(REUTERS_WHOLE, REUTERS, (299, 100, 219), BY),
)

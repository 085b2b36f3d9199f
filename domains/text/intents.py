"""Intents: what a person wants of an assistant or a bank. The field's standard sets, read from a mirror."""

from domains.fetch import PinnedFile
from domains.mirror import FileReader
from domains.source import Source

CLINC150 = PinnedFile(
    "text/clinc150.parquet", "af0377f1327fb9bc529571fc8b8d720107eb29f887b6635fb59bc755d0814008", size=360029
)
BANKING77 = PinnedFile(
    "text/banking77.parquet", "d401671624b10fe081fe198946c053be6247e360f8060550f770bb9605f9114d", size=265768
)
HWU64 = PinnedFile(
    "text/hwu64.parquet", "65b31c2fa2207fd5f833190efc5185fc2ce4ceedfcf9d3b29edc33370dddfaf8", size=159198
)
SNIPS = PinnedFile(
    "text/snips.parquet", "c831c3ef82ced14661df4295676a22cf218da4316f04aa14fe46d63bfc80dfb7", size=279618
)

SOURCES = (
    Source(
        name="clinc150",
        family="text",
        role="source",
        title="CLINC150: which of 150 things an assistant is asked for",
        read=FileReader((CLINC150,), without=("oos",)),
        licence="CC BY 3.0",
        citation=(
            "S. Larson et al. An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction. "
            "EMNLP-IJCNLP 2019, 1311-1316"
        ),
        where="https://github.com/clinc/oos-eval, all splits as one table; queries out of scope are left out",
        classes=150,
        examples=22491,
        quick=False,
    ),
    Source(
        name="banking77",
        family="text",
        role="source",
        title="BANKING77: what a customer of an online bank asks about",
        read=FileReader((BANKING77,)),
        licence="CC BY 4.0",
        citation=(
            "I. Casanueva, T. Temcinas, D. Gerz, M. Henderson and I. Vulic. Efficient Intent Detection with Dual "
            "Sentence Encoders. Workshop on NLP for Conversational AI, ACL 2020, 38-45"
        ),
        where="https://github.com/PolyAI-LDN/task-specific-datasets, both splits as one table",
        classes=77,
        examples=13071,
        quick=False,
    ),
    Source(
        name="hwu64",
        family="text",
        role="source",
        title="HWU64: what a home assistant is told or asked",
        read=FileReader((HWU64,)),
        licence="CC BY 4.0",
        citation=(
            "X. Liu, A. Eshghi, P. Swietojanski and V. Rieser. Benchmarking Natural Language Understanding Services "
            "for Building Conversational Agents. IWSDS 2019"
        ),
        where="https://github.com/xliuhw/NLU-Evaluation-Data, in the splits of DialoGLUE as one table",
        classes=64,
        examples=11033,
        quick=False,
    ),
    Source(
        name="snips",
        family="text",
        role="source",
        title="Snips: which of seven skills a voice command is for",
        read=FileReader((SNIPS,)),
        licence="CC0 1.0",
        citation=(
            "A. Coucke et al. Snips Voice Platform: an embedded Spoken Language Understanding system for "
            "private-by-design voice interfaces. arXiv 1805.10190, 2018"
        ),
        where="https://github.com/sonos/nlu-benchmark, both splits as one table",
        classes=7,
        examples=14306,
        quick=False,
    ),
)

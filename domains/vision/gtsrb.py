"""German traffic signs, read from a mirror."""

from domains.fetch import PinnedFile
from domains.mirror import FileReader
from domains.source import Source

GTSRB = PinnedFile("vision/gtsrb.zip", "0f5ff26ff526b38a3adb21a129784a65d954fd776f32f73af00fee38f83d2e2b", size=5609791)

SOURCES = (
    Source(
        name="gtsrb",
        family="vision",
        role="source",
        title="German Traffic Sign Recognition Benchmark: 43 signs, by number, 32 x 32 pixels",
        read=FileReader((GTSRB,)),
        licence="none stated by its authors, who ask to be cited",
        citation=(
            "J. Stallkamp, M. Schlipsing, J. Salmen and C. Igel. Man vs. computer: Benchmarking machine learning "
            "algorithms for traffic sign recognition. Neural Networks 32, 2012, 323-332"
        ),
        where="https://benchmark.ini.rub.de, 60 images of each sign spread over its tracks",
        classes=43,
        examples=2580,
        quick=False,
    ),
)

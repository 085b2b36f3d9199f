"""Medical images: cells, skin and scans, read from a mirror."""

from domains.fetch import PinnedFile
from domains.mirror import FileReader
from domains.source import Source, SplitRule

PBC = PinnedFile(
    "vision/pbc_blood.zip", "fa33c966f70a697c7ee205b2897901c5b684037dcee7391ca3d4e25958236099", size=10520508
)
CHULA = PinnedFile(
    "vision/chula_rbc.zip", "848d9785d6b26426213a6c9a3084dd6e3b36a88b64b450d861f7c11fb8d491cb", size=6397206
)
HAM10000 = PinnedFile(
    "vision/ham10000.zip", "df80220555996af68c2a68eec5496a2659deca5c6ef2c63f00344489b7869856", size=8290829
)
MEDNIST = PinnedFile(
    "vision/mednist.zip", "bfa4b619282057b00026c36cf8d020233b0cfe4b53b91a71871b1898bf500702", size=1747806
)

#: Sets of 80 images a class: 20 for the test, and enough labelled ones for 20 shots.
SMALL = SplitRule(train=30, test=20)

SOURCES = (
    Source(
        name="pbc_blood",
        family="vision",
        role="target",
        title="Peripheral blood cells: eight kinds, 360 x 363 pixels",
        read=FileReader((PBC,)),
        licence="CC BY 4.0",
        citation=(
            "A. Acevedo et al. A dataset of microscopic peripheral blood cell images for development of automatic "
            "recognition systems. Data in Brief 30, 2020, 105474"
        ),
        where="https://doi.org/10.17632/snkd93bnjr.1, 80 images of each kind",
        medical=True,
        split=SMALL,
        classes=8,
        examples=640,
        quick=False,
    ),
    Source(
        name="chula_rbc",
        family="vision",
        role="target",
        title="Chula RBC-12: twelve shapes of red blood cells, 72 x 72 pixels",
        read=FileReader((CHULA,), group=0),  # <class>/<smear>_<x>_<y>.png
        licence="MIT",
        citation=(
            "K. Naruenatthanaset et al. Red Blood Cell Segmentation with Overlapping Cell Separation and "
            "Classification on Imbalanced Dataset. arXiv 2012.01321, 2020"
        ),
        where="https://github.com/Chula-PIC-Lab/Chula-RBC-12-Dataset, 80 cells of each shape",
        medical=True,
        split=SMALL,
        own_split=f"{SMALL}; no smear has cells in the test and outside of it",
        classes=12,
        examples=960,
        quick=False,
    ),
    Source(
        name="ham10000",
        family="vision",
        role="target",
        title="HAM10000: seven kinds of pigmented skin lesions",
        read=FileReader((HAM10000,)),
        licence="CC BY-NC 4.0",
        citation=(
            "P. Tschandl, C. Rosendahl and H. Kittler. The HAM10000 dataset, a large collection of multi-source "
            "dermatoscopic images of common pigmented skin lesions. Scientific Data 5, 2018, 180161"
        ),
        where="https://doi.org/10.7910/DVN/DBW86T, 60 to 80 images of each kind, some perhaps of one lesion",
        medical=True,
        split=SMALL,
        classes=7,
        examples=540,
        quick=False,
    ),
    Source(
        name="mednist",
        family="vision",
        role="source",
        title="MedNIST: six kinds of scans, 64 x 64 pixels (near ceiling, for smoke tests)",
        read=FileReader((MEDNIST,)),
        licence="CC BY-SA 4.0",
        citation="MedNIST, gathered by B. J. Erickson from TCIA, RSNA Bone Age Challenge and NIH Chest X-ray dataset",
        where="https://github.com/Project-MONAI/MONAI-extra-test-data, 200 images of each kind",
        medical=True,
        classes=6,
        examples=1199,
        quick=False,
    ),
)

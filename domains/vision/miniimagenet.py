"""miniImageNet: 100 classes of ImageNet in 84 x 84 pixels; the raw images for benchmarks.

O. Vinyals et al. Matching Networks for One Shot Learning. NeurIPS 2016. The split of classes is that of S. Ravi and
H. Larochelle, Optimization as a Model for Few-Shot Learning, ICLR 2017. ImageNet's terms allow non-commercial
research and no passing on, so there is no address to download it from: the user brings the archive.
"""

from pathlib import PurePosixPath

from domains.class_split import class_split
from domains.errors import UserError
from domains.fetch import Fetch, PinnedFile
from domains.mirror import FileReader
from domains.reading.archives import ClassImages, ImageArchive, read_classes
from domains.source import Source

FILE = "miniimagenet.zip"
#: WordNet ids of the classes: 64, 16 and 20.
TRAIN = """
    n01532829 n01558993 n01704323 n01749939 n01770081 n01843383 n01910747 n02074367 n02089867 n02091831
    n02101006 n02105505 n02108089 n02108551 n02108915 n02111277 n02113712 n02120079 n02165456 n02457408
    n02606052 n02687172 n02747177 n02795169 n02823428 n02966193 n03017168 n03047690 n03062245 n03207743
    n03220513 n03337140 n03347037 n03400231 n03476684 n03527444 n03676483 n03838899 n03854065 n03888605
    n03908618 n03924679 n03998194 n04067472 n04243546 n04251144 n04258138 n04275548 n04296562 n04389033
    n04435653 n04443257 n04509417 n04515003 n04596742 n04604644 n04612504 n06794110 n07584110 n07697537
    n07747607 n09246464 n13054560 n13133613
"""
VALIDATION = """
    n01855672 n02091244 n02114548 n02138441 n02174001 n02950826 n02971356 n02981792 n03075370 n03417042
    n03535780 n03584254 n03770439 n03773504 n03980874 n09256479
"""
TEST = """
    n01930112 n01981276 n02099601 n02110063 n02110341 n02116738 n02129165 n02219486 n02443484 n02871525
    n03127925 n03146219 n03272010 n03544143 n03775546 n04146614 n04149813 n04418357 n04522168 n07613480
"""
SPLIT = {part: tuple(wnids.split()) for part, wnids in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST))}


def load_miniimagenet(fetch: Fetch, pixels: int = 84) -> dict[str, ClassImages]:
    """Return the images of ``train``, ``validation`` and ``test`` in colour, with C = 3 and H = W = ``pixels``.

    A class is the folder, at any depth, that is called by its WordNet id; it may have any number of images, 600 in
    the published set. Images of another size are resized as a whole, without regard to their aspect.

    Raises:
        UserError: the archive is neither in the mirror nor in the cache, cannot be read, or lacks a class.
    """
    path = fetch.local(FILE, "vision")
    if path is None:
        raise UserError(
            f"no {FILE}, and no address to download it from: put it (a folder of JPEGs for each of 100 classes, "
            "called by WordNet id) into a folder and set ACCLIMATE_MIRROR to that"
        )
    with ImageArchive(path) as archive:
        members: dict[str, list[tuple[ImageArchive, str]]] = {}
        for name in archive.names:
            members.setdefault(PurePosixPath(name).parent.name, []).append((archive, name))
        missing = [wnid for wnids in SPLIT.values() for wnid in wnids if wnid not in members]
        if missing:
            raise UserError(f"{path}: no images of class {missing[0]} ({len(missing)} of 100 are missing); replace it")
        return {
            part: read_classes({wnid: members[wnid] for wnid in wnids}, "RGB", pixels) for part, wnids in SPLIT.items()
        }


WHOLE = Source(
    name="miniimagenet",
    family="vision",
    role="source",
    title="miniImageNet: things and animals, 84 x 84 pixels",
    read=FileReader(
        (
            PinnedFile(
                f"vision/{FILE}", "eefb7f59f56437639c253bc9b093f515b13563b92f333748be820d79d7ac2063", size=34051460
            ),
        )
    ),
    licence="ImageNet's terms: non-commercial research, no passing on",
    citation=(
        "O. Vinyals et al. Matching Networks for One Shot Learning. NeurIPS 2016; split: S. Ravi and H. Larochelle, "
        "ICLR 2017"
    ),
    where="https://www.image-net.org, 80 of the 600 images of each of 100 classes, called by WordNet id",
    classes=100,
    examples=8000,
    quick=False,
)
SOURCES = (WHOLE, *class_split(WHOLE, SPLIT, (5120, 1280, 1600), "Ravi and Larochelle 2017"))

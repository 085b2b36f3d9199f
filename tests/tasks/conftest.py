"""A project small enough to meta-train and adapt in a test: an encoder that counts letters, and made-up domains.

And a git and DVC checkout of tiny domains.
"""

import io
import logging
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from domains.build import build
from domains.domain import Domain
from domains.fetch import Fetch
from domains.source import Source, SplitRule
from learners.choice.prior import Prior
from learners.meta_model import MetaModel
from tasks.base.figure import LARGEST
from tasks.base.settings import Settings
from tasks.features import encoding
from tasks.features.encoders import BUILT_IN, MINILM
from tasks.features.spec import EncoderSpec

ALPHABET = "abcdefgh"


class Letters:
    """An encoder that one can check by eye: counts of eight letters, and of the calls it got."""

    def __init__(self):
        self.calls = Counter()

    def encode(self, texts):
        self.calls.update(texts)
        return self.read(texts)

    @staticmethod
    def read(texts):
        return torch.tensor([[float(text.count(letter)) for letter in ALPHABET] for text in texts])


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(root=tmp_path, processes=1)


@pytest.fixture
def letters(monkeypatch, settings) -> Iterator[Letters]:
    """The text family, read by an encoder whose weights are already there."""
    reader = Letters()
    spec = EncoderSpec("letters-1", 8, MINILM, lambda archive, folder: None, lambda folder: reader)
    monkeypatch.setitem(BUILT_IN["text"], "minilm", spec)
    (settings.home_path / "encoders" / "letters-1").mkdir(parents=True)
    encoding._encoder.cache_clear()
    yield reader
    encoding._encoder.cache_clear()


def texts(name: str, classes: int, per_class: int) -> pd.DataFrame:
    """Words of eight letters in the proportions of their class; no text comes twice."""
    rng, rows = np.random.default_rng(abs(sum(map(ord, name)))), []
    for c, share in enumerate(rng.dirichlet(np.full(8, 0.3), classes)):
        for i in range(per_class):
            word = "".join(rng.choice(list(ALPHABET), size=24, p=share))
            rows.append((f"{word} {name.upper()}{c}:{i}", f"{name} {c}"))
    return pd.DataFrame(rows, columns=["text", "label"])


def days(first: str, count: int, assets: int, labels: tuple[str, ...]) -> pd.DataFrame:
    """A market whose state changes every few days and shows in the first two of four features."""
    rng, rows = np.random.default_rng(count), []
    for i, day in enumerate(pd.bdate_range(first, periods=count)):
        for asset in range(assets):
            state = int(rng.integers(len(labels)))
            x = rng.normal(size=4) + np.array([2.0 * state, -state, 0, 0])
            rows.append((f"{day:%Y-%m-%d}", f"A{asset}", x.astype(np.float32), labels[state], i))
    return pd.DataFrame(rows, columns=["date", "asset", "x", "label", "day"])


@pytest.fixture
def made(tmp_path):
    """Make a domain on disk: ``made("name", classes=5)`` of texts, ``made("name", first="2001-01-01")`` of a market."""

    def make(name, classes=3, per_class=30, role="source", first=None, count=80, assets=3, split=None, hash_=None):
        states = ("calm", "rising", "falling")
        if first is None:
            frame = texts(name, classes, per_class)
        else:
            frame = days(first, count, assets, states)
            at = ["test" if day >= count * 2 // 3 else "train" for day in frame["day"]] if role == "target" else "train"
            frame = frame.drop(columns="day").assign(split=at)
        if split is not None:
            frame = split(frame)
        source = Source(
            name=name,
            family="text" if first is None else "market",
            role=role,
            title=name,
            read=lambda fetch: frame,
            licence="none",
            citation="none",
            where="a test",
            split=SplitRule(train=12, test=10, pool=40),
            labels=None if first is None else states,
        )
        folder = build(source, Fetch(tmp_path / "downloads"), tmp_path / "data")
        return Domain.read(folder, "revision", hash_ or f"hash of {name}")

    return make


@pytest.fixture
def target(made, letters):
    """A target of four classes, named by letters."""
    return made("target", classes=4, per_class=40, role="target")


@pytest.fixture
def model():
    """A meta-model of no meta-trained learner, for which the probe and plain strategies are left."""
    return MetaModel("text", "letters-1", 8, None, {}, Prior())


class Checkout:
    """A git and DVC checkout of two text domains, news and trec, versioned once by hand."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / ".acclimate"

    def run(self, *command: str) -> str:
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments)

    def write(self, name: str, labels: tuple[str, ...] = ("a", "b"), **counts: int) -> Path:
        """Write a domain of so many examples a split."""
        folder = self.root / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        role = "target" if "test" in counts else "source"
        about = {"name": name, "family": "text", "role": role, "labels": list(labels), "counts": counts}
        (folder / "domain.yaml").write_text(yaml.safe_dump(about))
        for split, n in counts.items():
            texts, y = [f"{name} {split} {i}" for i in range(n)], [i % len(labels) for i in range(n)]
            table = pa.table({"text": texts} | ({} if split == "pool" else {"label": y}))
            pq.write_table(table, folder / f"{split}.parquet")
        return folder

    def status(self) -> str:
        return self.git("status", "--porcelain")


@pytest.fixture(scope="session")
def versioned(tmp_path_factory) -> Path:
    from dvc.repo import Repo  # it takes a second, and not every process needs it

    logging.getLogger("dvc").setLevel(logging.WARNING)  # its handler may hold the captured output of an earlier test
    root = tmp_path_factory.mktemp("versioned") / "root"
    root.mkdir()
    checkout = Checkout(root)
    checkout.git("init", "--quiet", "--initial-branch=main")
    checkout.git("config", "user.name", "t")
    checkout.git("config", "user.email", "t@example.org")
    (root / ".gitignore").write_text("/data/\n/.acclimate/\n")
    (root / "notes.txt").write_text("one\n")
    checkout.write("news", train=6, test=4)
    checkout.write("trec", train=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("dvc")))
        repo = Repo.init(str(root))
        repo.add(str(root / "data"))
        repo.close()
    checkout.git("add", "--all")
    checkout.git("commit", "--quiet", "--message", "data")
    return root


@pytest.fixture
def checkout(versioned, tmp_path, monkeypatch) -> Checkout:
    """A copy of the checkout to change at will; what DVC remembers of it stays in the test's own folder."""
    shutil.copytree(versioned, tmp_path / "root", symlinks=True)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    monkeypatch.setenv("ACCLIMATE_ROOT", str(tmp_path / "root"))
    return Checkout(tmp_path / "root")


@pytest.fixture
def check_picture(recwarn) -> Callable[[bytes], None]:
    """Check that a picture is a small PNG, 700 wide, with something on it, drawn without a warning."""

    def check(png: bytes) -> None:
        image = Image.open(io.BytesIO(png))
        assert image.format == "PNG"
        assert image.width == 700
        assert len(png) <= LARGEST
        assert len(image.getcolors()) > 5
        assert not [w for w in recwarn if "matplotlib" in str(w.filename)]

    return check

"""The field's classical benchmarks: learners meta-trained on raw images, beside plain supervised learning."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

import torch

from domains.episode import Episode, Pile, Shape, draw
from domains.errors import UserError, check_known
from domains.fetch import Fetch
from domains.reading.archives import ClassImages
from domains.vision.miniimagenet import load_miniimagenet
from domains.vision.omniglot import add_rotations, load_omniglot, omniglot_split
from learners import ANIL, FOMAML, MAML, Finetune, Logistic, NearestPrototype, ProtoNet, Reptile, Ridge, Scratch
from learners.base import Learner
from learners.bodies import Conv4, ResNet12
from learners.meta_train import Training, meta_train
from learners.support import Support
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.base.side_by_side import run_side_by_side
from tasks.bench.options import BenchOptions, Row

TEST_EPISODES, QUERIES = 1000, 15  # as in the literature: queries a class
SLOW = {"scratch": 300}  # test episodes: a network is trained for each
VALIDATION = 100  # episodes
SUPERVISED = {"logistic": Logistic, "prototype": NearestPrototype, "scratch": Scratch}  # from the same shots alone
FLAT = ("logistic", "prototype")  # read pixels as features
WIDTH = {"omniglot": 64, "miniimagenet": 32}  # channels of Conv4, as in the MAML paper
PIXELS = {"omniglot": 28, "miniimagenet": 84}

LARGE = "protonet-resnet12"

#: Accuracy as published, by suite, ways, shots and method, at the pixels of PIXELS; sources in docs/benchmarks.md.
PUBLISHED: dict[tuple[str, int, int], dict[str, float]] = {
    ("omniglot", 5, 1): {"maml": 0.987, "fomaml": 0.983, "reptile": 0.977, "protonet": 0.974},
    ("omniglot", 5, 5): {"maml": 0.999, "fomaml": 0.992, "reptile": 0.995, "protonet": 0.993},
    ("omniglot", 20, 1): {"maml": 0.958, "fomaml": 0.894, "reptile": 0.894, "protonet": 0.960, "anil": 0.962},
    ("omniglot", 20, 5): {"maml": 0.989, "fomaml": 0.979, "reptile": 0.971, "protonet": 0.989, "anil": 0.980},
    ("miniimagenet", 5, 1): {"maml": 0.487, "reptile": 0.471, "protonet": 0.494, "anil": 0.467, LARGE: 0.593},
    ("miniimagenet", 5, 5): {"maml": 0.631, "reptile": 0.627, "protonet": 0.682, "anil": 0.615, LARGE: 0.756},
}


@dataclass(frozen=True)
class FewShotJob:
    """One row to measure: a method on one problem size, all of it part of its identity.

    Args:
        steps: meta-updates; None: the method's own number.
        pixels: a side of the images; episodes: test episodes.
    """

    suite: str
    method: str
    ways: int
    shots: int
    pixels: int
    steps: int | None = None
    episodes: int = TEST_EPISODES
    seed: int = 0
    device: str = "cpu"

    @property
    def key(self) -> str:
        """The name of what is trained: the same job, recipe and code version, however many test episodes."""
        training = asdict(METHODS[self.method].training(self))
        parts = {**asdict(self), "episodes": 0, "version": version("acclimate"), "training": training}
        return f"{self.method}-{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class FewShotRecipe:
    """A method on raw images: how to make it from a job and the images' channels, and how to meta-train it.

    ``Finetune`` is pretrained by batches of so many images (``Training.batch``) instead of episodes.
    """

    learner: Callable[[FewShotJob, int], Learner]
    training: Callable[[FewShotJob], Training]


def make_body(job: FewShotJob, channels: int, statistics: str = "batch", strided: bool = False) -> Conv4:
    width = 64 if statistics == "source" else WIDTH[job.suite]
    return Conv4(channels, job.pixels, width, strided, statistics)  # type: ignore[arg-type]


def _gradient(kind: type[MAML], **arguments: Any) -> Callable[[FewShotJob, int], Learner]:
    def make(job: FewShotJob, channels: int) -> Learner:
        strided, omniglot = job.suite == "omniglot", job.suite == "omniglot"
        own: dict[str, Any] = {"steps": 1 if job.ways == 5 else 5, "rate": 0.4 if job.ways == 5 else 0.1}
        if not omniglot:
            own = {"steps": 5, "rate": 0.01}
        own = {**own, "test_steps": 3 if omniglot and job.ways == 5 else 10, **arguments}
        return kind(make_body(job, channels, strided=strided), job.ways, **own)

    return make


def _metric(kind: type[Learner]) -> Callable[[FewShotJob, int], Learner]:
    return lambda job, channels: kind(make_body(job, channels, "source"))


def _large(kind: type[Learner]) -> Callable[[FewShotJob, int], Learner]:
    return lambda job, channels: kind(ResNet12(channels, job.pixels, statistics="source", precision="bfloat16"))


def _episodes(job: FewShotJob, steps: int, ways: int, queries: int, batch: int, rate: float, **more: Any) -> Training:
    shape = Shape((ways, ways), (job.shots,), queries, pool=(0,))
    steps = job.steps or steps
    return Training(shape, steps, batch, rate, every=max(1, steps // 10), episodes=VALIDATION, seed=job.seed, **more)


def _maml_training(job: FewShotJob) -> Training:
    if job.suite == "omniglot":
        steps, batch = {1: (6000, 16), 5: (18000, 4)}.get(job.shots, (6000, 4))
        return _episodes(job, steps, job.ways, 5, batch, 2e-3)
    return _episodes(job, 600, job.ways, 10, 4, 2e-3)


def _metric_training(job: FewShotJob) -> Training:
    """More ways than in the test, as ProtoNet's authors found best."""
    if job.suite == "omniglot":
        return _episodes(job, 2000 if job.shots < 5 else 800, min(4 * job.ways, 60), 5, 1, 2e-3)  # at most as published
    return _episodes(job, 1500, 2 * job.ways, 5, 1, 2e-3)


def _reptile(job: FewShotJob, channels: int) -> Learner:
    """As published: Adam inside, 10 examples a minibatch, more shots in training than in the test."""
    return Reptile(make_body(job, channels), job.ways, steps=8, rate=1e-3, test_steps=50, batch=10, queries=True)


def _reptile_training(job: FewShotJob) -> Training:
    like = _episodes(job, 3000 if job.suite == "omniglot" else 1500, job.ways, max(1, 15 - job.shots), 5, 1.0)
    return replace(like, optimiser="sgd", schedule="linear", clip=1e9, episodes=VALIDATION // 5)


def _pretraining(job: FewShotJob) -> Training:
    return _episodes(job, 1500, job.ways, 5, 64, 1e-3)


METHODS: Mapping[str, FewShotRecipe] = {
    "maml": FewShotRecipe(_gradient(MAML), _maml_training),
    "fomaml": FewShotRecipe(_gradient(FOMAML), _maml_training),
    "reptile": FewShotRecipe(_reptile, _reptile_training),
    "anil": FewShotRecipe(_gradient(ANIL), _maml_training),
    "protonet": FewShotRecipe(_metric(ProtoNet), _metric_training),
    "ridge": FewShotRecipe(_metric(Ridge), _metric_training),
    "finetune": FewShotRecipe(_metric(Finetune), _pretraining),
    LARGE: FewShotRecipe(_large(ProtoNet), _metric_training),
    "ridge-resnet12": FewShotRecipe(_large(Ridge), _metric_training),
}
USUAL = tuple(name for name in METHODS if not name.endswith("resnet12"))  # the others have to be named: a night each


def load_images(settings: Settings, suite: str, pixels: int) -> tuple[Pile, Pile, Pile]:
    """Return the images for meta-training, validation and test, no class in two of them.

    Omniglot: 1,100 / 100 / 423 characters at random, each in four rotations as classes of their own, as in the MAML
    paper. miniImageNet: the 64 / 16 / 20 classes of Ravi & Larochelle.

    Raises:
        UserError: no such benchmark, or its images are not to be had.
    """
    fetch = Fetch(settings.home_path / "downloads", settings.mirror)
    if suite == "omniglot":
        images = load_omniglot(fetch, pixels)
        parts: Sequence[ClassImages] = [add_rotations(images.take(classes)) for classes in omniglot_split()]
    elif suite == "miniimagenet":
        parts = list(load_miniimagenet(fetch, pixels).values())
    else:
        raise UserError(f"no benchmark {suite!r}; there are: omniglot, miniimagenet")
    train, validation, test = (Pile(suite, torch.from_numpy(p.x), torch.from_numpy(p.y)) for p in parts)
    return train, validation, test


def run_job(job: FewShotJob, settings: Settings, advance: Callable[[int], None] = lambda steps: None) -> list[Row]:
    """Meta-train if the method does, score on test episodes, and return rows as ``acclimate bench`` writes them.

    An interrupted meta-training goes on from its checkpoint. Every method sees the same test episodes; supports that
    raw-image baselines are trained on are those of the learners.
    """
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    train, validation, test = load_images(settings, job.suite, job.pixels)
    channels, seconds = train.x.shape[1], 0.0
    with torch.random.fork_rng():  # torch's modules draw their starts from the global generator only
        torch.manual_seed(job.seed)
        if job.method in METHODS:
            learner = METHODS[job.method].learner(job, channels).to(job.device)
            training = METHODS[job.method].training(job)
        else:
            raw = job.method == "scratch"
            learner = SUPERVISED[job.method](make_body(job, channels) if raw else train.x[0].numel()).to(job.device)
    if job.method in METHODS:
        if job.device != "cpu":
            learner.together = 16
        path = settings.home_path / "bench" / job.suite / f"{job.key}.checkpoint"
        with stopwatch(path.with_suffix(".seconds")) as spent:
            if isinstance(learner, Finetune):
                generator = torch.Generator().manual_seed(job.seed)
                learner.pretrain([train], training.steps, training.batch, training.rate, generator, path)
                advance(training.steps)
            else:
                meta_train(learner, [train], [validation], training, path, advance)
        seconds = spent()
    scores = evaluate(learner, test, job, advance)
    mean, ci95 = scores.mean().item(), 1.96 * scores.std().item() / math.sqrt(len(scores))
    row = {
        "suite": job.suite,
        "domain": job.suite,
        "setting": f"{job.ways}-way {job.shots}-shot",
        "method": job.method,
        "metric": "accuracy",
        "value": round(mean, 5),
        "ci95": round(ci95, 5),
        "n": len(scores),
        "seconds": round(seconds, 1),
    }
    published = PUBLISHED.get((job.suite, job.ways, job.shots), {}).get(job.method)
    if published is None or job.pixels != PIXELS[job.suite]:
        return [row]
    return [row, row | {"metric": "published accuracy", "value": published, "ci95": None, "n": None, "seconds": None}]


@contextmanager
def stopwatch(path: Path) -> Iterator[Callable[[], float]]:
    """Yield what tells the CPU seconds spent inside, those of earlier, interrupted calls with that path included."""
    before, started = float(path.read_text()) if path.exists() else 0.0, process_time()
    try:
        yield lambda: float(path.read_text())
    finally:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(before + process_time() - started))


def evaluate(
    learner: Learner, test: Pile, job: FewShotJob, advance: Callable[[int], None] = lambda n: None
) -> torch.Tensor:
    """Return the accuracy [episodes] on test episodes, the same ones for every method of one problem size."""
    generator = torch.Generator().manual_seed(job.seed + 10)
    shape = Shape((job.ways, job.ways), (job.shots,), QUERIES, pool=(0,))
    scores = []
    for _ in range(job.episodes):
        episode = draw([test], shape, generator)
        if not learner.raw:
            episode = Episode(
                episode.support_x.flatten(1), episode.support_y, episode.query_x.flatten(1), episode.query_y
            )
        episode = episode.to(torch.device(job.device))
        classifier = learner.adapt(Support(episode.support_x, episode.support_y))
        with torch.no_grad():
            right = classifier.logits(episode.query_x).argmax(1) == episode.query_y
        scores.append(right.float().mean().cpu())
        advance(0)
    return torch.stack(scores)


def make_jobs(suite: str, options: BenchOptions) -> list[FewShotJob]:
    """Return the jobs of a benchmark, by default those of every method on Conv4.

    Raises:
        UserError: a method is unknown.
    """
    known = (*METHODS, *SUPERVISED)
    check_known(options.methods, known, "method", " in this benchmark")
    side = options.pixels or PIXELS[suite]
    return [
        FewShotJob(
            suite,
            method,
            options.ways,
            k,
            side,
            options.steps,
            options.episodes or SLOW.get(method, TEST_EPISODES),
            device="cpu" if method in FLAT else options.torch_device,
        )
        for method in options.methods or (*USUAL, *SUPERVISED)
        for k in options.shots
    ]


def bench_omniglot(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Run the jobs of Omniglot that are asked for."""
    return _suite("omniglot", settings, options, say)


def bench_miniimagenet(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Run the jobs of miniImageNet that are asked for."""
    return _suite("miniimagenet", settings, options, say)


def _suite(suite: str, settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    todo = make_jobs(suite, options)
    with progress(f"bench {suite}", count_updates(todo)) as advance:
        return run_jobs(settings, todo, advance, say)


def run_jobs(
    settings: Settings, todo: Sequence[FewShotJob], advance: Callable[[int], None], say: Callable[[str], None]
) -> list[Row]:
    """Run jobs side by side, one thread and one process a core, and return their rows in order."""
    load_images(settings, todo[0].suite, todo[0].pixels)  # what is missing is said before anything starts

    def done(job: FewShotJob, rows: list[Row]) -> None:
        row = rows[0]
        say(f"{row['setting']} {job.method}: {100 * row['value']:.2f} ± {100 * row['ci95']:.2f} %")

    found = run_side_by_side(partial(_run, settings), todo, settings.processes, advance, done)
    return [row for rows in found for row in rows]


def count_updates(todo: Sequence[FewShotJob]) -> int:
    """Return the meta-updates that jobs take, for a progress bar."""
    return sum(METHODS[job.method].training(job).steps for job in todo if job.method in METHODS)


def _run(settings: Settings, job: FewShotJob, advance: Callable[[int], None]) -> list[Row]:
    return run_job(job, settings, advance)

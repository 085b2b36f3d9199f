"""A GPU beside the processor on the same work: encoding, tuning and meta-training; then the suites that need one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from domains.domain import Family
from domains.episode import Pile, Shape
from learners import make
from learners.meta_train import Training, meta_train
from learners.plain.tuned_encoder import fit_head, tune
from tasks.adapt.tuning import RECIPES
from tasks.base.device import one_thread
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.images.fewshot import bench_miniimagenet
from tasks.bench.images.speed import bench_speed
from tasks.bench.options import BenchOptions, Row
from tasks.features.encoders import BUILT_IN, CHUNK, weights
from tasks.features.spec import EncoderSpec
from tasks.features.tuned import make_tunable

SIZES = {"text": 512, "vision": 256}  # examples that are encoded; half of them are tuned to
WAYS = 8  # classes that are tuned to
STEPS = 40  # meta-updates
#: Of miniImageNet at 84 pixels: what is meta-trained, and for how many updates, unless said.
CLASSICAL, CLASSICAL_STEPS = ("protonet", "maml"), 2000

#: What is done on a device: it returns numbers that must agree between devices, or None.
Work = Callable[[torch.device], Tensor | None]


def bench_device(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Do the same work on one thread of the processor and on the device asked for, and return a row a work.

    The value of a row is how many times faster the device is by the clock, ``seconds`` is its time, and ``cosine`` the
    lowest between a vector of the one and of the other. Then come the rows of the suite ``speed`` on the device and,
    where there is a mirror, those of miniImageNet at 84 pixels. Without a GPU the processor is beside itself.

    Raises:
        UserError: no such device; weights or a package are absent.
    """
    device = options.torch_device
    works = make_works(settings)
    with progress(f"bench device: {device}", 2 * len(works)) as advance:
        rows = []
        for name, setting, work in works:
            rows.append(compare(name, setting, work, device, advance))
            say(f"{name}, {setting}: {rows[-1]['value']:.1f} times")
    if device != "cpu":
        rows += bench_speed(settings, options, say)
        if settings.mirror is not None:
            steps, methods = options.steps or CLASSICAL_STEPS, options.methods or CLASSICAL
            rows += bench_miniimagenet(settings, replace(options, steps=steps, methods=methods), say)
    return rows


def make_works(settings: Settings) -> list[tuple[str, str, Work]]:
    """Return what is done on each device: name, setting and work."""
    works: list[tuple[str, str, Work]] = []
    for family, size in SIZES.items():
        examples = make_examples(family, size)  # type: ignore[arg-type]
        for spec in BUILT_IN[family].values():  # type: ignore[index]
            works.append((f"encode by {spec.identity}", f"{size} examples", encode_work(settings, spec, examples)))
        spec, some = next(iter(BUILT_IN[family].values())), examples[: size // 2]  # type: ignore[index]
        setting = f"an epoch of {len(some)} examples"
        works.append((f"tune {spec.identity}", setting, tune_work(settings, family, spec, some)))  # type: ignore[arg-type]
    return [*works, ("meta-train the reference learner", f"{STEPS} updates", meta_train_work())]


def make_examples(family: Family, size: int) -> list[Any]:
    """Return texts of 5 to 80 words, or images of 128 pixels as JPEG: speed does not depend on what is in them."""
    rng = np.random.default_rng(0)
    if family == "text":
        words = ["heart", "rate", "of", "a", "patient", "fell", "after", "two", "days", "without", "rest"]
        return [" ".join(rng.choice(words, rng.integers(5, 81))) for _ in range(size)]
    found = []
    for _ in range(size):
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        small.resize((128, 128)).save(stream := BytesIO(), "JPEG")
        found.append(stream.getvalue())
    return found


def encode_work(settings: Settings, spec: EncoderSpec, examples: Sequence[Any]) -> Work:
    """Return the encoding of examples."""
    folder = weights(settings, spec)

    def work(device: torch.device) -> Tensor:
        encoder, batch = spec.load(folder).to(device), spec.batch if device.type == "cpu" else CHUNK
        return torch.cat([encoder.encode(examples[i : i + batch]) for i in range(0, len(examples), batch)])

    return work


def tune_work(settings: Settings, family: Family, spec: EncoderSpec, examples: Sequence[Any]) -> Work:
    """Return an epoch of tuning, as ``adapt --budget`` tunes."""
    folder, recipe, y = weights(settings, spec), RECIPES[family], torch.arange(len(examples)) % WAYS

    def work(device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        encoder = make_tunable(spec, folder, recipe.rank, generator).to(device)
        prepared = encoder.prepare(examples)
        head = fit_head(encoder, prepared, y).to(device)
        for _ in tune(encoder, head, prepared, y, 1, recipe, generator):
            pass

    return work


def meta_train_work() -> Work:
    """Return a few meta-updates of the reference learner on Gaussian classes of 384 features."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(20, 384, generator=generator)
    y = torch.arange(20).repeat_interleave(50)
    pile = Pile("made", centres[y] + torch.randn(len(y), 384, generator=generator), y)
    training = Training(Shape(ways=(5, 10), queries=8), steps=STEPS, every=STEPS)

    def work(device: torch.device) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            learner = make("reference", 384)
        learner.fit_scale(pile.x)
        meta_train(learner.to(device), [pile], [pile], training)

    return work


def compare(name: str, setting: str, work: Work, device: str, advance: Callable[[int], None]) -> Row:
    """Do a work on one thread of the processor and on a device, once before each to warm up, and return a row."""
    seconds, found = {}, {}
    with one_thread():
        for turn in ("cpu", device):
            if turn != "cpu":
                work(torch.device(turn))
            started = time.perf_counter()
            found[turn] = work(torch.device(turn))
            seconds[turn] = time.perf_counter() - started
            advance(1)
    row = {"suite": "device", "domain": name, "setting": setting, "method": device, "metric": "times faster"}
    row |= {"value": round(seconds["cpu"] / seconds[device], 3), "ci95": None, "n": 1}
    row |= {"seconds": round(seconds[device], 3)}
    one, other = found["cpu"], found[device]
    if one is not None and other is not None:
        row["cosine"] = round(F.cosine_similarity(one.float(), other.float().cpu()).min().item(), 6)
    return row

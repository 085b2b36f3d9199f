"""Speed of meta-training: our learners beside the way that is usual elsewhere, on the same work in the same run."""

import copy
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from domains.episode import Episode, Pile, Shape
from domains.errors import UserError
from learners import ANIL, MAML, Reptile
from learners.base import Learner
from learners.bodies import Conv4
from learners.meta_train import Training, meta_train
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.options import BenchOptions, Row

RATE = 0.05
ROUNDS = 7
Work = Callable[[], object]


@dataclass(frozen=True)
class Duel:
    """The same meta-gradient computed twice: as is usual elsewhere, and by us."""

    name: str
    setting: str
    theirs: Work
    ours: Work
    episodes: int


def import_higher() -> Any:
    """Return the module ``higher``, whose loop is as fast as learn2learn's.

    Raises:
        UserError: it is not installed.
    """
    try:
        import higher
    except ImportError as error:
        raise UserError("the benchmark needs the package higher: pip install higher==0.2.1") from error
    return higher


def episodes(n: int, shape: tuple[int, ...], shots: int, queries: int, seed: int = 0) -> list[Episode]:
    """Return 5-way episodes of Gaussian classes [.., *shape]: speed does not depend on what is in them."""
    generator = torch.Generator().manual_seed(seed)
    y, query_y = torch.arange(5).repeat_interleave(shots), torch.arange(5).repeat_interleave(queries)
    drawn = []
    for _ in range(n):
        centres = torch.randn(5, *shape, generator=generator)
        x, query = (centres[i] + torch.randn(len(i), *shape, generator=generator) for i in (y, query_y))
        drawn.append(Episode(x, y, query, query_y))
    return drawn


class Usual(nn.Module):
    """Conv4 and head as elsewhere: ``nn.BatchNorm2d``, ReLU before the pooling, convolutions with a bias."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (1, width, width, width):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width, track_running_stats=False)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def usual_maml(network: nn.Module, batch: Sequence[Episode], steps: int) -> Work:
    """Return MAML as usual: a loop over episodes, a differentiable optimiser, second order."""
    higher, optimiser = import_higher(), torch.optim.SGD(network.parameters(), lr=RATE)

    def work() -> None:
        network.zero_grad()
        for e in batch:
            with higher.innerloop_ctx(network, optimiser, copy_initial_weights=False) as (fast, inner):
                for _ in range(steps):
                    inner.step(F.cross_entropy(fast(e.support_x), e.support_y))
                (F.cross_entropy(fast(e.query_x), e.query_y) / len(batch)).backward()

    return work


def usual_anil(network: Usual, batch: Sequence[Episode], steps: int) -> Work:
    """Return ANIL as usual: features of support and query once, the head in the differentiable loop."""
    higher, optimiser = import_higher(), torch.optim.SGD(network.head.parameters(), lr=RATE)

    def work() -> None:
        network.zero_grad()
        for e in batch:
            support, query = network.body(e.support_x), network.body(e.query_x)
            with higher.innerloop_ctx(network.head, optimiser, copy_initial_weights=False) as (fast, inner):
                for _ in range(steps):
                    inner.step(F.cross_entropy(fast(support), e.support_y))
                (F.cross_entropy(fast(query), e.query_y) / len(batch)).backward()

    return work


def usual_reptile(network: nn.Module, batch: Sequence[Episode], steps: int) -> Work:
    """Return Reptile as usual: a copied network, an optimiser, the difference of the parameters."""

    def work() -> None:
        network.zero_grad()
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for e in batch:
            fast = copy.deepcopy(network)
            optimiser = torch.optim.SGD(fast.parameters(), lr=RATE)
            for _ in range(steps):
                optimiser.zero_grad()
                F.cross_entropy(fast(e.support_x), e.support_y).backward()
                optimiser.step()
            for slow, moved in zip(network.parameters(), fast.parameters(), strict=True):
                slow.grad += (slow.data - moved.data) / len(batch)  # type: ignore[operator]

    return work


def backward(learner: Learner, batch: Sequence[Episode]) -> Work:
    def work() -> None:
        learner.zero_grad()
        learner.backward(batch)

    learner.train()
    return work


def make_duels(device: str = "cpu") -> Iterator[Duel]:
    """Yield the comparisons, one at a time so that each one's memory is gone before the next."""
    to = torch.device(device)
    together = 1 if device == "cpu" else 16

    def ours(learner: Learner, batch: Sequence[Episode]) -> Work:
        learner.to(to)
        learner.together = max(learner.together, together)
        return backward(learner, batch)

    features = [e.to(to) for e in episodes(32, (384,), 1, 15)]
    head = nn.Sequential(nn.Linear(384, 64), nn.ReLU(), nn.Linear(64, 5)).to(to)
    setting = "features 384-64-5, 5-way 1-shot, 32 episodes, 5 inner steps"
    yield Duel("maml head", setting, usual_maml(head, features, 5), ours(MAML(384, 5, 5, RATE), features), 32)

    images = [e.to(to) for e in episodes(8, (1, 28, 28), 1, 15)]
    usual = Usual().to(to)
    setting = "Conv4 28x28, 5-way 1-shot, 8 episodes, 5 inner steps"
    yield Duel("anil", setting, usual_anil(usual, images, 5), ours(ANIL(Conv4(), 5, 5, RATE), images), 8)
    yield Duel("maml", setting, usual_maml(usual, images, 5), ours(MAML(Conv4(), 5, 5, RATE), images), 8)
    images = [e.to(to) for e in episodes(8, (1, 28, 28), 5, 1)]
    setting = "Conv4 28x28, 5-way 5-shot, 8 episodes, 5 inner steps"
    reptile = Reptile(Conv4(), 5, 5, RATE, batch=None, optimiser="sgd")
    yield Duel("reptile", setting, usual_reptile(usual, images, 5), ours(reptile, images), 8)


def bench_speed(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Time every duel on the device asked for."""
    with progress("bench speed", 4 * (ROUNDS + 1)) as advance:
        return time_duels(ROUNDS, options.torch_device, advance)


def time_duels(rounds: int, device: str, advance: Callable[[int], None]) -> list[Row]:
    """Time the duels in turn, theirs, ours, theirs, ..., after one warm-up; one thread.

    The value of a ``ratio`` row is the median over rounds of theirs / ours in CPU seconds (on a GPU: wall seconds,
    synchronised); its ``ci95`` is half the range of the middle half of the rounds.
    """
    torch.set_num_threads(1)
    clock = time.process_time if device == "cpu" else time.perf_counter
    rows: list[Row] = []
    for duel in make_duels(device):
        times: dict[str, list[float]] = {"theirs": [], "ours": []}
        for _ in range(rounds + 1):
            for who, work in (("theirs", duel.theirs), ("ours", duel.ours)):
                started = clock()
                work()
                if device != "cpu":
                    torch.cuda.synchronize()
                times[who].append(clock() - started)
            advance(1)
        theirs, ours = (taken[1:] for taken in times.values())
        ratios = sorted(a / b for a, b in zip(theirs, ours, strict=True))
        quarters = statistics.quantiles(ratios, n=4)
        common = {"suite": "speed", "domain": duel.name, "setting": f"{duel.setting}, {device}", "n": rounds}
        value = {"value": round(statistics.median(ratios), 3), "ci95": round((quarters[2] - quarters[0]) / 2, 3)}
        rows.append(common | {"method": "acclimate", "metric": "ratio to usual"} | value | {"seconds": None})
        for method, taken in (("usual", theirs), ("acclimate", ours)):
            milliseconds = round(1000 * statistics.median(taken) / duel.episodes, 3)
            rows.append(
                common
                | {"method": method, "metric": "milliseconds an episode", "value": milliseconds, "ci95": None}
                | {"seconds": round(sum(taken), 2)}
            )
    if device == "cpu":
        rows += [*measure_memory(), *time_two_processes()]
    return rows


def time_two_processes(steps: int = 30) -> list[Row]:
    """Measure Conv4 MAML in two processes that share each batch against one process, in wall seconds."""
    if (os.cpu_count() or 1) < 2:
        return []
    seconds = {n: min(_timed(n, steps) for _ in range(2)) for n in (1, 2)}
    common = {"suite": "speed", "domain": "two processes", "setting": f"Conv4 MAML, batch 16, {steps} meta-updates"}
    return [
        common
        | {"method": "acclimate", "metric": "ratio to one process", "value": round(seconds[1] / seconds[2], 3)}
        | {"ci95": None, "n": 2, "seconds": round(seconds[1] + seconds[2], 1)}
    ]


def _timed(processes: int, steps: int) -> float:
    context = multiprocessing.get_context("spawn")
    took = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        workers = [context.Process(target=_train, args=(i, processes, steps, folder, took)) for i in range(processes)]
        for worker in workers:
            worker.start()
        seconds = [took.get() for _ in workers]
        for worker in workers:
            worker.join()
    return max(seconds)


def _train(rank: int, processes: int, steps: int, folder: str, took: Any) -> None:
    torch.set_num_threads(1)
    if processes > 1:
        distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=processes)
    learner = MAML(Conv4(strided=True), 5, 1, 0.4)
    generator = torch.Generator().manual_seed(0)
    pile = Pile("noise", torch.rand(400, 1, 28, 28, generator=generator), torch.arange(20).repeat_interleave(20))
    training = Training(Shape((5, 5), (1,), 5, pool=(0,)), 2, 16, every=steps, episodes=1)
    meta_train(learner, [pile], [pile], training)  # warm-up
    started = time.perf_counter()
    meta_train(learner, [pile], [pile], Training(training.shape, steps, 16, every=steps, episodes=1))
    took.put(time.perf_counter() - started)
    if processes > 1:
        distributed.destroy_process_group()


def measure_memory() -> list[Row]:
    """Measure what a meta-update adds to a process at most, in MB, by batch and by inner steps (Conv4 MAML)."""
    rows = []
    for batch, steps in ((2, 1), (32, 1), (2, 5), (2, 10)):
        context = multiprocessing.get_context("spawn")
        found = context.Queue()
        worker = context.Process(target=_peak, args=(batch, steps, found))
        worker.start()
        value = found.get()
        worker.join()
        rows.append(
            {"suite": "speed", "domain": "memory", "setting": f"Conv4 MAML, batch {batch}, {steps} inner steps"}
            | {"method": "acclimate", "metric": "peak MB of a meta-update", "value": round(value, 1)}
            | {"ci95": None, "n": 1, "seconds": None}
        )
    return rows


def _peak(batch: int, steps: int, found: Any) -> None:
    torch.set_num_threads(1)
    drawn = episodes(batch, (1, 28, 28), 1, 15)
    learner = MAML(Conv4(), 5, steps, RATE)
    before = psutil.Process().memory_info().rss
    backward(learner, drawn)()
    found.put((peak_bytes() - before) / 1e6)


def peak_bytes() -> int:
    """Return the most bytes that this process has held (``getrusage`` would count its parent's too)."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

"""Lake's one-shot classification within an alphabet, meta-trained on the other alphabets, beside plain pixels."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version

import numpy as np
import torch
from scipy.spatial.distance import cdist
from scipy.stats import t

from domains.episode import Pile, Shape
from domains.errors import check_known
from domains.fetch import Fetch
from domains.reading.archives import ClassImages
from domains.vision.lake import RUNS, WAYS, LakeRun, alphabet_of, draw_runs
from domains.vision.omniglot import BACKGROUND, EVALUATION, add_rotations, load_omniglot
from learners import Logistic, NearestPrototype, ProtoNet
from learners.base import Learner
from learners.bodies import Conv4
from learners.meta_train import Training, meta_train
from learners.support import Support
from tasks.base.progress import progress
from tasks.base.settings import Settings
from tasks.bench.images.fewshot import stopwatch
from tasks.bench.options import BenchOptions, Row

SIDE = 28
WHOLE = 105  # pixels a side of a drawing as it was made
HELD_OUT = 5  # alphabets of the 30 that choose the best parameters
STEPS = 6000
METHODS = ("protonet", "logistic", "nearest", "hausdorff")

#: Accuracy as published, on the published runs: people and Bayesian program learning (Lake et al. 2015), the Hausdorff
#: distance (their repository), prototypical networks (B. M. Lake, R. Salakhutdinov and J. B. Tenenbaum. The Omniglot
#: challenge: a 3-year progress report. Current Opinion in Behavioral Sciences 29, 2019, 97-104).
PUBLISHED = {"people": 0.955, "program learning": 0.967, "protonet": 0.863, "hausdorff": 0.612}


def bench_lake(settings: Settings, options: BenchOptions, say: Callable[[str], None]) -> list[Row]:
    """Return the accuracy of every method over the same runs, and what is published.

    Learned from: the 30 background alphabets. Tested on: 20-way 1-shot runs of one evaluation alphabet each, 20 trials
    a run; mean over runs with a 95 % Student-t interval. Every method sees the same drawings.

    Raises:
        UserError: a method is unknown, or Omniglot is not to be had.
    """
    check_known(options.methods, METHODS, "method", " in this benchmark")
    torch.set_num_threads(1)
    side, fetch = options.pixels or SIDE, Fetch(settings.home_path / "downloads", settings.mirror)
    images = load_omniglot(fetch, side, [EVALUATION])
    runs = draw_runs(images, options.draws or RUNS, settings.seed)
    rows: list[Row] = []
    for method in options.methods or METHODS:
        seconds = 0.0
        if method == "hausdorff":
            scores = hausdorff_scores(load_omniglot(fetch, WHOLE, [EVALUATION]), runs)
        elif method == "protonet":
            learner, seconds = train_protonet(settings, fetch, side, options.steps)
            scores = learner_scores(learner, images, runs)
        else:
            plain = Logistic(side * side) if method == "logistic" else NearestPrototype(side * side)
            scores = learner_scores(plain, images, runs)
        rows.append(accuracy_row(method, scores, seconds))
        say(f"{method}: {100 * rows[-1]['value']:.1f} ± {100 * rows[-1]['ci95']:.1f} %")
    return rows + [
        rows[0]
        | {"method": name, "metric": "published accuracy", "value": value, "ci95": None, "n": None, "seconds": None}
        for name, value in PUBLISHED.items()
    ]


def accuracy_row(method: str, scores: Sequence[float], seconds: float) -> Row:
    """Return the row of a method from its accuracy in every run."""
    n = len(scores)
    half = t.ppf(0.975, n - 1) * np.std(scores, ddof=1) / math.sqrt(n) if n > 1 else 0.0
    return {
        "suite": "lake",
        "domain": "omniglot",
        "setting": f"{WAYS}-way 1-shot within an alphabet",
        "method": method,
        "metric": "accuracy",
        "value": round(float(np.mean(scores)), 5),
        "ci95": round(float(half), 5),
        "n": n,
        "seconds": round(seconds, 1),
    }


def learner_scores(learner: Learner, images: ClassImages, runs: Sequence[LakeRun]) -> list[float]:
    """Return the share of right trials of every run: the learner adapts to the run's support."""
    x, y, scores = torch.from_numpy(images.x).float() / 255, torch.arange(WAYS), []
    x = x if learner.raw else x.flatten(1)
    for run in runs:
        classifier = learner.adapt(Support(x[run.support], y))
        with torch.no_grad():
            scores.append((classifier.logits(x[run.query]).argmax(1) == y).float().mean().item())
    return scores


def hausdorff_scores(images: ClassImages, runs: Sequence[LakeRun]) -> list[float]:
    """Return the share of right trials where the nearest drawing by modified Hausdorff distance is the answer."""
    scores = []
    for run in runs:
        support, query = ([ink_places(images.x[row, 0]) for row in rows] for rows in (run.support, run.query))
        costs = np.array([[hausdorff(a, b) for b in support] for a in query])
        scores.append(float((costs.argmin(1) == np.arange(WAYS)).mean()))
    return scores


def ink_places(image: np.ndarray) -> np.ndarray:
    """Return the places [n, 2] of an image's ink, around their mean."""
    places = np.argwhere(image > 127).astype(float)
    return places - places.mean(0)


def hausdorff(a: np.ndarray, b: np.ndarray) -> float:
    """Return max(mean_a min_b |a - b|, mean_b min_a |a - b|) of two sets of places [n, 2] and [m, 2].

    M.-P. Dubuisson and A. K. Jain. A Modified Hausdorff Distance for Object Matching. ICPR 1994, 566-568.
    """
    distance = cdist(a, b)
    return float(max(distance.min(1).mean(), distance.min(0).mean()))


def alphabet_piles(images: ClassImages) -> list[Pile]:
    """Return the alphabets, each in four rotations, as piles of their own: an episode is within one of them."""
    turned = add_rotations(images)
    home = [f"{alphabet_of(name)}@{name.partition('@')[2]}" for name in turned.names]
    piles = []
    for alphabet in sorted(set(home)):
        part = turned.take(np.flatnonzero([other == alphabet for other in home]))
        piles.append(Pile(alphabet, torch.from_numpy(part.x), torch.from_numpy(part.y)))
    return piles


def alphabet_training(steps: int | None, seed: int) -> Training:
    """Episodes like the test, with up to half as many characters more; small alphabets give all they have."""
    steps = steps or STEPS
    shape = Shape((WAYS, 3 * WAYS // 2), (1,), queries=3, pool=(0,))
    return Training(shape, steps, 1, 2e-3, every=max(1, steps // 4), episodes=30, seed=seed)


def train_protonet(settings: Settings, fetch: Fetch, side: int, steps: int | None) -> tuple[ProtoNet, float]:
    """Return prototypical networks meta-trained within the background alphabets, and the CPU seconds that took.

    Some alphabets, the same for a seed, are held out and choose the best parameters. An interrupted training goes on
    from its checkpoint, and the same one is not done twice.
    """
    how = alphabet_training(steps, settings.seed)
    piles = alphabet_piles(load_omniglot(fetch, side, [BACKGROUND]))
    names = sorted({pile.name.partition("@")[0] for pile in piles})
    held = set(np.random.default_rng(settings.seed).permutation(names)[:HELD_OUT].tolist())
    parts = {kept: [p for p in piles if (p.name.partition("@")[0] in held) != kept] for kept in (True, False)}
    with torch.random.fork_rng():  # torch's modules draw their starts from the global generator only
        torch.manual_seed(settings.seed)
        learner = ProtoNet(Conv4(1, side, 64, False, "source"))
    key = hashlib.sha256(json.dumps([asdict(how), side, version("acclimate")]).encode()).hexdigest()[:12]
    path = settings.home_path / "bench" / "lake" / f"protonet-{key}.checkpoint"
    with stopwatch(path.with_suffix(".seconds")) as spent, progress("bench lake", how.steps) as advance:
        meta_train(learner, parts[True], parts[False], how, path, advance)
    return learner, spent()

"""Every benchmark one after the other, each kept with all that it takes to make its figures again."""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from domains.errors import UserError, check_known
from domains.whole_file import write_whole
from tasks.bench.labels.names import ABOVE_FLOOR
from tasks.bench.options import Row
from tasks.models.lineage import code_and_packages

LOSSES = ("log_loss", "auc", "qlike")
ADAPT = "logistic,prototype,knn,acclimate,acclimate without meta-training"
FEW_SHOT = ("--methods", "protonet,scratch,logistic,prototype")
GAIN, SERIES, RUNS = ("reward of a trial",), "decisions.md", "orchestration.md"
ARMS = "bandit-k{k}-n10,bandit-k{k}-n100,bandit-k{k}-n500"
MEDICAL = "ohsumed23,stc2_biomedical,medical_abstracts,chemprot,hpo,drugreviews"
PROCESSES = "mdp-n10,mdp-n25,mdp-n50,mdp-n75,mdp-n100"


@dataclass(frozen=True)
class BenchPart:
    """One command of `acclimate bench`, and what of its rows is shown.

    Args:
        metrics: each is a table; domains: only rows of domains that begin so; ranked: whether the best is marked.
        page: where its protocol is, and what it means.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)
    domains: str = ""
    ranked: bool = True
    page: str = "benchmarks.md"

    @property
    def command(self) -> str:
        return shlex.join(["acclimate", "bench", *self.arguments])


PARTS = {
    part.name: part
    for part in (
        BenchPart("quick", "The targets of the quick start", ("quick",)),
        BenchPart(
            "text", "News to medicine: text", ("adapt", "--family", "text", "--methods", ADAPT), domains="mean of"
        ),
        BenchPart("vision", "Medical images", ("adapt", "--family", "vision", "--methods", ADAPT), domains="mean of"),
        BenchPart(
            "labels",
            "Accuracy by the number of labels",
            ("labels",),
            (ABOVE_FLOOR, "log_loss"),
            "mean of domains",
            ranked=False,
        ),
        BenchPart("published", "Beside published few-shot text", ("published",)),
        BenchPart("suggest", "What to label next", ("suggest",), ("share of labels needed",)),
        BenchPart("omniglot", "Omniglot, 5-way", ("omniglot", *FEW_SHOT)),
        BenchPart(
            "omniglot-20",
            "Omniglot, 20-way",
            ("omniglot", "--ways", "20", "--shots", "1,5", "--methods", "protonet,logistic,prototype"),
        ),
        BenchPart("omniglot-maml", "Omniglot, 5-way: MAML", ("omniglot", "--methods", "maml")),
        BenchPart("miniimagenet", "miniImageNet, 5-way, 42 x 42", ("miniimagenet", "--pixels", "42", *FEW_SHOT)),
        BenchPart(
            "miniimagenet-resnet12",
            "miniImageNet, 5-way, 42 x 42: ResNet-12",
            ("miniimagenet", "--pixels", "42", "--shots", "5", "--methods", "protonet-resnet12"),
        ),
        BenchPart(
            "miniimagenet-84",
            "miniImageNet, 5-way, 84 x 84 (published: 600 images a class)",
            ("miniimagenet", "--shots", "1,5", "--methods", "protonet,logistic,prototype"),
        ),
        BenchPart("lake", "One-shot classification within an alphabet", ("lake", "--draws", "400")),
        BenchPart("market", "Regimes of the stock market", ("market",), LOSSES, "mean", page="market.md"),
        *(
            BenchPart(f"arms-{k}", f"Decisions: {k} arms", ("rl2", "--domains", ARMS.format(k=k)), GAIN, page=SERIES)
            for k in (5, 10, 50)
        ),
        BenchPart("processes", "Decision processes", ("rl2", "--domains", PROCESSES), GAIN, page=SERIES),
        BenchPart("trading", "Trading", ("rl2", "--domains", "stocks"), ("% a year after costs",), page=SERIES),
        BenchPart("drift", "Drift", ("drift",), ("false alarms", "detected"), ranked=False, page="drift.md"),
        BenchPart(
            "in-service",
            "Accuracy in service without labels",
            ("in-service",),
            ("error", "error of none", "coverage"),
            "mean of",
            ranked=False,
            page="drift.md",
        ),
        BenchPart(
            "federated",
            "Federated meta-training",
            ("federated", "--draws", "6", "--domains", MEDICAL),
            ("accuracy", "gain over alone", "share of gain"),
            "mean of",
            page="federated.md",
        ),
        BenchPart(
            "speed", "Speed of meta-updates", ("speed",), ("ratio to usual", "milliseconds an episode"), ranked=False
        ),
        BenchPart(
            "orchestration", "From a commit to a decision, seconds", ("orchestration",), (), ranked=False, page=RUNS
        ),
        BenchPart("faults", "kill -9", ("faults",), ("recovered", "seconds"), ranked=False, page=RUNS),
        BenchPart(
            "soak",
            "A year unattended",
            ("soak",),
            ("state MB", "tick at the end", "adapted twice", "not as asked for"),
            ranked=False,
            page=RUNS,
        ),
    )
}


@dataclass(frozen=True)
class Result:
    """The rows of a part, and what made them."""

    name: str
    command: str
    code: str
    packages: str
    machine: str
    date: str
    seconds: float
    rows: list[Row]

    @property
    def version(self) -> str:
        """The version of Acclimate that measured."""
        return str(json.loads(self.packages).get("acclimate", ""))

    @classmethod
    def read(cls, path: Path) -> "Result":
        """Return what ``write`` wrote.

        Raises:
            UserError: the file is something else.
        """
        wrong = f"{path}: not what `acclimate bench all --json` writes"
        try:
            found = cls(**json.loads(path.read_text("utf-8")))
            found = replace(found, rows=unfold_halves(found.rows))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{wrong} ({error})") from error
        if found.name not in PARTS:
            raise UserError(f"{wrong} ({found.name})")
        return found

    def write(self, path: Path) -> None:
        """Write the result with a line a row, so that a version history of it is small; figures have six digits.

        Rows of single halves (``bench labels``) are folded, which takes half the room.
        """
        head = json.dumps({name: value for name, value in asdict(self).items() if name != "rows"}, indent=1)
        rows = ",\n".join(
            json.dumps({name: _rounded(value) for name, value in row.items()}) for row in fold_halves(self.rows)
        )
        write_whole(path, f'{head[:-2]},\n "rows": [\n{rows}\n]}}\n')


def fold_halves(rows: Sequence[Row]) -> list[Row]:
    """Return rows with those that differ in their ``half`` (``bench labels``) as one, of lists where they differ."""
    groups: dict[Any, list[Row]] = {}
    for number, row in enumerate(rows):
        same = tuple(row[name] for name in ("domain", "setting", "method", "metric")) if "half" in row else number
        groups.setdefault(same, []).append(row)

    def fold(name: str, values: list[Any]) -> Any:
        return values[0] if name != "half" and values.count(values[0]) == len(values) else values

    return [
        {name: fold(name, [row[name] for row in group]) for name in group[0]} if "half" in group[0] else group[0]
        for group in groups.values()
    ]


def unfold_halves(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that ``fold_halves`` had, those of a setting and method one after the other."""
    found = []
    for row in rows:
        halves = row.get("half")
        times = len(halves) if isinstance(halves, list) else 1
        found += [{name: v[i] if isinstance(v, list) else v for name, v in row.items()} for i in range(times)]
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def bench_all(folder: Path, names: Sequence[str], say: Callable[[str], None]) -> None:
    """Run parts, all if none is named, each as a process of its own, into a file a part of a folder.

    What a file has of this version and command is not measured again. A part that fails (no ``ACCLIMATE_MIRROR``, for
    one) says why and stops no other.

    Raises:
        UserError: there is no such part, or a file of the folder is something else.
    """
    check_known(names, PARTS, "part", " of all benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    for part in (PARTS[name] for name in names or PARTS):
        path = folder / f"{part.name}.json"
        known = Result.read(path) if path.exists() else None
        if known and (known.command, known.version) == (part.command, version("acclimate")):
            say(f"{part.name}: measured on {known.date[:10]}; remove {path} to measure again")
            continue
        say(f"{part.name}: {part.command}")
        if found := _measure(part, folder / f".{part.name}.rows"):
            found.write(path)
        else:
            say(f"{part.name}: failed, see above; the others go on")


def _measure(part: BenchPart, rows: Path) -> Result | None:
    started, at, by = time.monotonic(), datetime.now(UTC), code_and_packages()
    own = "import sys; from flows.cli import main; main(sys.argv[1:])"
    rows.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-P", "-c", own, "bench", *part.arguments, "--json", str(rows)])
    if done.returncode:
        return None
    found = json.loads(rows.read_text("utf-8"))
    rows.unlink()
    seconds, date = round(time.monotonic() - started, 1), f"{at:%Y-%m-%d %H:%M} UTC"
    return Result(part.name, part.command, by["code"], by["packages"], describe_machine(), date, seconds, found)


def describe_machine() -> str:
    """Return the processor and how many cores of it there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"

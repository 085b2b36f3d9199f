"""Vectors of texts in 8 bits, where that was asked for, or a short trial has shown that it is faster on this machine.

Which way the vectors come is no part of what an encoder is: models keep the identity of the encoder, and read its exact
vectors where there are no others. Only what is stored of features is apart.
"""

import json
import platform
import statistics
import time
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock

from domains.errors import first_line
from domains.whole_file import write_whole
from learners.encoders.calibration import made_up_texts
from learners.encoders.quantised import quantise
from tasks.base.device import one_thread, torch_device
from tasks.base.progress import say
from tasks.base.settings import Settings
from tasks.features.encoders import BertLoader, exact, int8_installed, make_once, names_set, weights
from tasks.features.spec import EncoderSpec

WORTH = 1000  # new texts, from which on a trial is worth its minute or two
TEXTS, ROUNDS = 96, 3  # of a trial
MOST_TIME, LEAST_COSINE = 0.7, 0.98  # of a route in 8 bits that is taken; the cosine of 19 in 20 texts


def here(settings: Settings, spec: EncoderSpec) -> EncoderSpec:
    """Return what computes the vectors of an encoder on this machine: itself, or in 8 bits, or exactly instead."""
    if not spec.exact:
        decided = _may_choose(settings, spec) and _decision(settings, spec)
        return quantised(settings, spec) if decided else spec
    if int8_installed():
        return quantised(settings, exact(spec))
    _say_once(f"{spec.identity}: read exactly, more slowly, as openvino is not here; pip install acclimate[int8]")
    return exact(spec)


def try_int8(settings: Settings, spec: EncoderSpec) -> bool:
    """Return whether a trial, made the first time that there is much to encode, has just found 8 bits to be faster.

    They are taken if they need less than ``MOST_TIME`` of the exact CPU time, and 19 in 20 vectors are near the exact.
    """
    if spec.exact or not _may_choose(settings, spec) or _decision(settings, spec) is not None:
        return False
    file = _trial_file(settings, spec)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.home_path / f"{file.name}.lock"):
        if (decided := _decision(settings, spec)) is not None:
            return decided
        taken, found, line = False, {}, f"{spec.identity} in 8 bits: "
        try:
            seconds, cosines = compare_routes(settings, spec, made_up_texts(TEXTS, seed=1))
            ratio, low = seconds["int8"] / seconds["exact"], float(cosines.quantile(0.05))
            taken, found = ratio < MOST_TIME and low > LEAST_COSINE, {"time": ratio, "cosine": low}
            line += f"{ratio:.0%} of the time, cosine to the exact vectors {low:.3f} or more of 19 in 20 texts, "
        except Exception as error:  # of many kinds: of OpenVINO, the processor, memory; exact vectors do as well
            line += f"cannot be made here ({first_line(error)}), "
        write_whole(file, json.dumps({"int8": taken, "on": _machine(), **found}).encode())
    say(line + ("used here from now on (ACCLIMATE_INT8=never: not)" if taken else "not used here"))
    return taken


def compare_routes(
    settings: Settings, spec: EncoderSpec, texts: list[str], rounds: int = ROUNDS
) -> tuple[dict[str, float], torch.Tensor]:
    """Return median CPU seconds, on one thread, of ``exact`` and ``int8``, and cosines [n] between their vectors."""
    ways = {
        "exact": spec.load(weights(settings, spec)),
        "int8": (small := quantised(settings, spec)).load(weights(settings, small)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with one_thread():
        x = {name: way.encode(texts) for name, way in ways.items()}
        for _ in range(rounds):
            for name, way in ways.items():
                began = time.process_time()
                way.encode(texts)
                seconds[name].append(time.process_time() - began)
    return {name: statistics.median(each) for name, each in seconds.items()}, (x["exact"] * x["int8"]).sum(1)


def quantised(settings: Settings, spec: EncoderSpec) -> EncoderSpec:
    """Return what computes the vectors of an exact encoder of texts in 8 bits; its weights are made if need be."""
    assert isinstance(spec.load, BertLoader)
    folder, load = int8_folder(settings, spec), replace(spec.load, int8=True)
    return replace(spec, identity=f"{spec.identity}-int8", load=load, folder=folder, wheel=None, unpack=None)


def int8_folder(settings: Settings, spec: EncoderSpec) -> Path:
    """Return the folder of an encoder's weights in 8 bits, which are made once, in a minute or two."""
    folder = settings.home_path / "encoders" / f"{spec.identity}-int8"
    if not folder.exists():
        source = weights(settings, spec)
        with FileLock(settings.home_path / f"{folder.name}.lock"):
            make_once(folder, lambda made: quantise(source, made, spec.prompt))
    return folder


def _may_choose(settings: Settings, spec: EncoderSpec) -> bool:
    """Whether it was left to this machine how the vectors of an encoder are computed; what reads windows is exact."""
    chosen = settings.int8 == "auto" and not spec.of and not names_set("text")
    return chosen and isinstance(spec.load, BertLoader) and int8_installed() and torch_device().type == "cpu"


def _decision(settings: Settings, spec: EncoderSpec) -> bool | None:
    """Return what a trial on this machine has found; None: there was none, or with another version or processor."""
    try:
        found = json.loads(_trial_file(settings, spec).read_text("utf-8"))
        return bool(found["int8"]) if found["on"] == _machine() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _trial_file(settings: Settings, spec: EncoderSpec) -> Path:
    return settings.home_path / "encoders" / f"{spec.identity}-int8.trial.json"


@cache
def _machine() -> str:
    """Return the processor, and the version of what computes in 8 bits on it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text("utf-8").splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, openvino {version('openvino')}"


@cache
def _say_once(line: str) -> None:
    say(line)

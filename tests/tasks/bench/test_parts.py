"""All benchmarks in one go, and the page that is made of them."""

import json
import math
import subprocess
from dataclasses import replace
from importlib.metadata import version
from io import StringIO

import pytest
from rich.console import Console

from domains.errors import UserError
from tasks.bench import parts
from tasks.bench.parts import PARTS, Result
from tasks.bench.results_page import bench_tables, markdown, pivot, tables, write_page


def row(method, value, setting="K=5", domain="a", metric="accuracy"):
    common = {"suite": "quick", "domain": domain, "setting": setting, "n": 10, "seconds": None}
    return common | {"method": method, "metric": metric, "value": value, "ci95": 0.01}


ROWS = [row("acclimate", 0.7), row("logistic", 0.8), row("acclimate", 0.9, "K=10"), row("logistic", 0.6, "K=10")]
RESULT = Result("quick", "acclimate bench quick", "0" * 40, '{"torch": "2"}', "a machine", "2026-01-01", 90.0, ROWS)


@pytest.fixture
def runs(monkeypatch):
    """Commands that were run; each writes ROWS, or fails where it is of vision."""
    made = []

    def run(command):
        made.append(command)
        if "vision" in command:
            return subprocess.CompletedProcess(command, 2)
        with open(command[-1], "w") as file:
            json.dump(ROWS, file)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(parts.subprocess, "run", run)
    monkeypatch.setattr(
        parts, "code_and_packages", lambda: {"code": "c", "packages": json.dumps({"acclimate": version("acclimate")})}
    )
    return made


def test_a_part_that_fails_stops_no_other_and_what_is_measured_is_kept(tmp_path, runs):
    said = []
    parts.bench_all(tmp_path, ["quick", "vision", "lake"], said.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake.json", "quick.json"]
    assert "vision: failed, see above; the others go on" in said
    assert Result.read(tmp_path / "quick.json").rows == ROWS
    parts.bench_all(tmp_path, ["quick", "lake"], said.append)
    assert len(runs) == 3


def test_another_version_measures_again(tmp_path, runs):
    replace(RESULT, packages='{"acclimate": "0.1"}', machine="old").write(tmp_path / "quick.json")
    parts.bench_all(tmp_path, ["quick"], print)
    assert Result.read(tmp_path / "quick.json").version == version("acclimate")
    assert len(runs) == 1


def test_a_file_has_a_line_a_row_and_six_digits(tmp_path):
    replace(RESULT, rows=[row("acclimate", 1 / 3), row("logistic", float("nan"))]).write(tmp_path / "quick.json")
    lines = (tmp_path / "quick.json").read_text("utf-8").splitlines()
    assert '"value": 0.333333,' in lines[-3]
    assert math.isnan(Result.read(tmp_path / "quick.json").rows[1]["value"])


def test_rows_of_halves_are_one_line_in_a_file_and_read_as_they_were(tmp_path):
    row = {"domain": "hpo", "setting": "K=3", "method": "words", "metric": "accuracy", "n": 1, "pool": "none"}
    halves = [row | {"half": i, "value": 0.5 + i / 10, "strategy": name} for i, name in enumerate(("svm", "knn"))]
    rows = [
        *halves,
        row | {"setting": "all", "half": 0, "value": 0.9},
        row | {"domain": "mean of domains", "value": 0.6},
    ]
    replace(RESULT, name="labels", rows=rows).write(tmp_path / "labels.json")
    assert (tmp_path / "labels.json").read_text().count('"words"') == 3
    assert Result.read(tmp_path / "labels.json").rows == rows


def test_every_part_is_a_command_that_is_understood():
    import typer

    from flows.cli import app

    command = typer.main.get_command(app).commands["bench"]
    for part in PARTS.values():
        command.make_context("bench", list(part.arguments))


def test_the_best_is_bold_whoever_it_is():
    table = pivot(ROWS, "accuracy")
    assert markdown(table, "accuracy", True) == [
        "|  | K=5 | K=10 |",
        "| --- | --- | --- |",
        "| acclimate | 70.0 ± 1.0 | **90.0 ± 1.0** |",
        "| logistic | **80.0 ± 1.0** | 60.0 ± 1.0 |",
    ]
    losses = pivot([each | {"metric": "log_loss"} for each in ROWS], "log_loss")
    assert "| acclimate | **0.700 ± 0.010** | 0.900 ± 0.010 |" in markdown(losses, "log_loss", True)
    assert not any("**" in line for line in markdown(table, "accuracy", False))


def test_many_columns_run_down_and_what_was_published_stands_beside():
    rows = [row("maml", i / 10, f"K={i}") for i in range(8)] + [row("maml", 0.9, "K=1", metric="published accuracy")]
    lines = markdown(pivot(rows, "accuracy"), "accuracy", True)
    assert lines[0] == "|  | maml | maml (published) |"
    assert lines[3] == "| K=1 | 10.0 ± 1.0 | **90.0 ± 1.0** |"


def test_settings_of_long_names_run_down_though_they_are_few():
    rows = [row("ours", 0.5, name * 50) for name in "abc"]
    assert [line.split(" | ")[0] for line in markdown(pivot(rows, "accuracy"), "accuracy", True)][2:] == [
        f"| {name * 50}" for name in "abc"
    ]


def test_a_part_of_one_figure_a_metric_is_one_table(tmp_path):
    rows = [row("acclimate", value, "2 processes", metric=name) for name, value in (("commit", 13.0), ("tick", 0.2))]
    write_page([replace(RESULT, name="orchestration", rows=rows)], tmp_path / "r.md")
    assert "| commit | 13.00 ± 0.01 |\n| tick | 0.200 ± 0.010 |\n" in (tmp_path / "r.md").read_text("utf-8")


def test_a_page_names_the_command_and_has_a_picture(tmp_path):
    write_page(
        [RESULT, replace(RESULT, name="speed", rows=[row("usual", 4.43, metric="ratio to usual")])], tmp_path / "r.md"
    )
    text = (tmp_path / "r.md").read_text("utf-8")
    assert "`acclimate bench quick`" in text
    assert "n = 10" in text
    assert "![The targets of the quick start](r/quick.png)" in text
    assert (tmp_path / "r/quick.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "r/speed.png").exists()
    assert "| usual | 4.430 ± 0.010 |" in text


def test_a_page_is_made_of_its_results_alone_in_their_order(tmp_path):
    page = tmp_path / "r.md"
    page.write_text("# Results\n\n## Written by hand\n\nno\n", "utf-8")
    write_page([replace(RESULT, name="speed"), RESULT, replace(RESULT, name="text")], page)
    titles = [line for line in page.read_text("utf-8").splitlines() if line.startswith("#")]
    assert titles == ["# Results", *(f"## {PARTS[name].title}" for name in ("quick", "text", "speed"))]


def test_a_file_of_something_else_and_an_unknown_part_are_one_line(tmp_path):
    (tmp_path / "x.json").write_text('[{"suite": "quick"}]')
    with pytest.raises(UserError, match=r"x\.json: not what `acclimate bench all --json` writes"):
        Result.read(tmp_path / "x.json")
    with pytest.raises(UserError, match="no part 'x' of all benchmarks; there are: quick, text"):
        parts.bench_all(tmp_path, ["x"], print)


def test_a_table_that_would_be_wide_both_ways_is_one_a_domain():
    many = [row(f"m{i}", 0.5, f"K={k}", d) for i in range(8) for d in ("a", "b") for k in (1, 5, 10)]
    assert {name: len(table) for name, table in tables(many, "accuracy").items()} == {"a: ": 8, "b: ": 8}
    assert list(tables(many[:24], "accuracy")) == [""]
    assert tables(many, "auc") == {}


def test_many_methods_have_a_table_a_domain_that_fits_a_terminal():
    methods = [f"a method of name {i}" for i in range(9)]
    rows = [
        {"domain": d, "setting": s, "method": m, "metric": "accuracy", "value": 0.5, "ci95": 0.01}
        for d in ("one", "two")
        for s in ("K=1 pool=797", "K=5 pool=797", "K=10 pool=797")
        for m in methods[d == "two" :]
    ]
    console = Console(width=80, file=StringIO())
    console.print(*(tables := bench_tables(rows)))
    assert [table.row_count for table in tables] == [9, 8]
    assert "…" not in console.file.getvalue()
    assert console.file.getvalue().count("50.0 ± 1.0") == 3 * 17

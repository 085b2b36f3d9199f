"""The commands that measure, and make a page of what was measured."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from domains.errors import UserError
from flows.terminal import check_output_folder, err, flows_running
from tasks.base.settings import settings


def bench(
    suite: Annotated[
        str,
        typer.Argument(
            help="quick, adapt, labels, published, suggest, omniglot, miniimagenet, lake, speed, encoding, drift, "
            "in-service, market, orchestration, device, adapters, federated, faults, soak, rl2 or all."
        ),
    ],
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write the rows to this file; all: a file a part to this folder.")
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Support draws behind each interval, of labels halves, of lake runs, of drift trials.",
            show_default=False,
        ),
    ] = None,
    methods: Annotated[str, typer.Option(help="All but quick and speed: methods, comma-separated.")] = "",
    shots: Annotated[
        str,
        typer.Option(
            help="All but quick and speed: examples a class, 1,5,10 unless given; labels: 3,5,10,20,50,100,all.",
            show_default=False,
        ),
    ] = "",
    ways: Annotated[int, typer.Option(min=2, help="omniglot, miniimagenet: classes an episode.")] = 5,
    steps: Annotated[int | None, typer.Option(min=1, help="All but quick and speed: meta-updates.")] = None,
    pixels: Annotated[int | None, typer.Option(min=16, help="omniglot, miniimagenet, lake: a side.")] = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            min=2, help="omniglot, miniimagenet, published: test episodes; usually 1000, of the last two 300."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="All but quick: cpu or cuda; a GPU where there is one.")] = "",
    family: Annotated[str, typer.Option(help="adapt, suggest: text or vision.")] = "text",
    pools: Annotated[
        str,
        typer.Option(
            help="Which unlabelled pools, all unless named. adapt: balanced,imbalanced,none,natural; labels: "
            "even,natural,none; published: none,natural."
        ),
    ] = "",
    sources: Annotated[str, typer.Option(help="adapt: meta-train on non-medical sources, or all.")] = "non-medical",
    only: Annotated[
        str,
        typer.Option(
            "--domains",
            help="adapt, labels, published, suggest, encoding, drift, in-service: which; market: regimes; all: parts; "
            "comma between.",
        ),
    ] = "",
    tune_draws: Annotated[int, typer.Option(min=1, help="adapt: support draws of finetune and lora.")] = 3,
    export: Annotated[
        Path | None, typer.Option(help="adapt: write supports and tests into this folder, and measure nothing.")
    ] = None,
) -> None:
    """Measure.

    quick: every method on every built-in target at 1, 5 and 10 labels a class. adapt: adaptation to medical domains
    after others, with balanced, imbalanced, natural and no pools, beside logistic regression, fine-tuning and LoRA
    (reads ACCLIMATE_MIRROR). labels: accuracy by the number of labels, from few to all, at the frequencies of each
    domain, beside tuned logistic regression (more domains where there is an ACCLIMATE_MIRROR). published: intents
    from 5 and 10 labels each, and 5-way episodes of news, on the protocols of published figures and beside these
    (reads ACCLIMATE_MIRROR). suggest: the labels that suggestions need, relative to random choice, on medical texts
    (reads ACCLIMATE_MIRROR). omniglot, miniimagenet: learners meta-trained on raw images, as in their papers,
    beside supervised learning from the same shots. lake: 20 characters of one alphabet, one drawing each, by
    another drawer; meta-trained on other alphabets, beside plain pixels and what people reach. speed: meta-updates
    beside the usual way to compute them. device: a GPU beside one thread of the processor at encoding, tuning and
    meta-training, then speed and miniImageNet on it, in about 12 minutes. encoding: the encoders of texts, in 8
    bits too, beside sentence-transformers. adapters: whether tuning an encoder of texts gains by a start that
    Reptile learned on source domains (reads ACCLIMATE_MIRROR). federated: meta-training by six sites that keep their
    domains, beside each alone and all pooled (reads ACCLIMATE_MIRROR). drift: how often drift is found in new examples
    where there is none and where there is, and changes of regime of stocks. in-service: how far the accuracy that
    is estimated without labels is from the true one (reads ACCLIMATE_MIRROR). market: adaptation to six regimes of
    the stock market, beside HAR, GARCH, boosting and models that do not adapt. orchestration: from a commit to a
    decision, of one domain and of 200, with a real server. faults: kill -9 of flow, worker, server and what forks, at
    random moments, and how long until it is made good. soak: 2,000 commits (--draws) to 50 domains and 20,000 ticks,
    and what state and time they take. rl2: policies that learn inside a trial, on bandits and decision
    processes, beside index rules and posterior sampling.
    all: one after the other, nights long, into .acclimate/bench/results or the folder --json; a part that is there of
    this version is not measured again.

    Example: acclimate bench omniglot --methods maml,scratch --shots 5 --json omniglot.json
    """
    from domains.whole_file import write_whole
    from tasks.bench.options import ADAPTER_SHOTS, LABEL_SHOTS, SHOTS, BenchOptions, parse_shots, split_words
    from tasks.bench.suites import SUITES, run_suite

    if suite not in (*SUITES, "all"):
        raise UserError(f"no benchmark {suite!r}; there are: {', '.join(SUITES)}, all")
    check_output_folder(as_json)
    if suite == "all":
        from tasks.bench.parts import bench_all

        folder = as_json or settings().home_path / "bench" / "results"
        bench_all(folder, split_words(only), lambda line: err.print(line, highlight=False, soft_wrap=True))
        return
    from tasks.base.progress import terminal
    from tasks.bench.results_page import bench_tables

    of_labels = suite == "labels"
    usual = {"labels": LABEL_SHOTS, "adapters": ADAPTER_SHOTS}.get(suite, SHOTS)
    per_class = parse_shots(shots, of_labels) if shots else usual
    options = BenchOptions(
        *(draws, split_words(methods), per_class, ways, steps, pixels, episodes, device),
        family=family,  # type: ignore[arg-type]
        pools=split_words(pools),
        sources=sources,
        domains=split_words(only),
        tune_draws=tune_draws,
        export=export,
    )
    if suite == "market":
        from flows.bench_market import bench_market
        from tasks.bench.market.suite import check_options

        check_options(options)
        with flows_running(settings()):  # a picture a regime, as artifacts of the run
            rows = bench_market(list(options.methods), list(options.domains))
    else:
        with terminal(err):
            rows = run_suite(settings(), suite, options, lambda line: err.print(line, highlight=False))
    if as_json is not None:
        write_whole(as_json, json.dumps(rows, indent=1))
    if rows and suite != "market":  # it has said its means; 1,900 rows are for programs
        Console().print(*bench_tables(rows))


def results(
    paths: Annotated[list[Path], typer.Argument(help="What `acclimate bench all --json` wrote: folders or files.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page; pictures go beside it.")] = Path(
        "results.md"
    ),
) -> None:
    """Make a page of benchmarks: tables and pictures with intervals, and the command behind each.

    Example: acclimate results docs/results -o docs/results.md
    """
    from tasks.bench.parts import Result
    from tasks.bench.results_page import write_page

    check_output_folder(output)
    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    if not files:
        raise UserError(f"no results in {', '.join(map(str, paths))}; make some: acclimate bench all")
    write_page([Result.read(file) for file in files], output)
    err.print(f"results written to {output}", markup=False, soft_wrap=True)

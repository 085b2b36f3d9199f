"""Commands about domains."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.terminal import AsJson, Encoding, Header, Sheet, check_output_folder, err, print_json, print_warnings
from tasks.base.settings import Settings, settings

if TYPE_CHECKING:
    from domains.domain import Domain

app = typer.Typer(no_args_is_help=True, help="The domains: what is here, and what it is.")


@app.command("list")
def domains_list(as_json: AsJson = False) -> None:
    """List the domains of the catalogue and others in data/.

    state: built (in data/), can build (acclimate data build), or mirror: a file has to be brought, see domains show.

    Example: acclimate domains list
    """
    from tasks.base.artifacts import table_of
    from tasks.ingest.domain_list import list_domains

    rows = list_domains(settings())
    if as_json:
        return print_json(rows)
    shown = []
    for row in rows:
        sizes = {"classes": f"{row['classes']:,}", "examples": f"{row['total']:,}"}
        shown.append({key: row[key] for key in ("domain", "family", "role", "state")} | sizes | {"what": row["title"]})
    Console().print(table_of(shown))
    states = {row["state"] for row in rows}
    if "can build" in states:
        err.print(
            "can build: acclimate data build (the quick start), acclimate data build --domain NAME", soft_wrap=True
        )
    if "mirror" in states:
        err.print(
            "mirror: set ACCLIMATE_MIRROR to a folder with its files: acclimate domains show NAME", soft_wrap=True
        )
    return None


@app.command("show")
def domains_show(name: str, as_json: AsJson = False) -> None:
    """Show one domain: source, licence, labels, counts, some examples.

    Example: acclimate domains show hpo
    """
    from tasks.ingest.domain_list import describe_domain

    def nearest(s: Settings, domain: "Domain") -> dict[str, float] | str:
        from tasks.meta_train.domain_map import known_nearest  # two seconds, which a domain that is not built need not

        return known_nearest(s, domain)

    found = describe_domain(settings(), name, nearest)
    if as_json:
        return print_json(found)
    table = Table(show_header=False)
    examples = found.pop("examples", ())
    for key, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):  # files, wheels: one a line
            value = "\n".join("  ".join(map(str, part.values())) for part in value)
        table.add_row(key, Text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    for example in examples:
        table.add_row(Text(f"labelled {example['label']}"), Text(example["example"]))
    Console().print(table)
    return None


@app.command("check")
def domains_check(
    name: Annotated[str, typer.Argument(help="A domain in data/.")],
    as_json: AsJson = False,
) -> None:
    """Check a domain: schema, damage, duplicates, leakage, classes, dates.

    Every finding says file, row, value and remedy. Errors give exit code 2, warnings do not. All kinds: docs/checks.md

    Example: acclimate domains check hpo
    """
    from domains.checks import report_lines, report_summary
    from tasks.base.progress import terminal
    from tasks.ingest.checking import check_domain

    with terminal(err):
        found = check_domain(settings(), name)
    if as_json:
        print_json([finding.record() for finding in found])
    else:
        for line in report_lines(found):
            print(line)
        print(f"{name}: {report_summary(found)}")
    if any(finding.is_error for finding in found):
        raise typer.Exit(2)


@app.command("audit")
def domains_audit(
    name: Annotated[str, typer.Argument(help="A domain in data/, of texts or images.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write what to look at into this CSV.")] = None,
    as_json: AsJson = False,
) -> None:
    """List labels that are probably wrong, what correcting them would gain, and classes that are missing.

    Each label is held against what is predicted for its example by a model that never saw it. Examples that are nearly
    equal and labelled differently are listed too, and groups of unlabelled examples that no class covers.

    Example: acclimate domains audit reports -o doubtful.csv
    """
    check_output_folder(output)
    from tasks.adapt.audit import audit_domain
    from tasks.adapt.suggestion import write_to_label
    from tasks.base.artifacts import table_of
    from tasks.base.progress import terminal
    from tasks.ingest.checking import domain_in_data

    s = settings()
    with terminal(err):
        domain = domain_in_data(s, name)
        found = audit_domain(s, domain)
    if output is not None:
        folder = write_to_label(domain, found.rows, output)
        images = "" if folder is None else f", images to {folder}"
        err.print(f"{len(found.rows)} examples to look at written to {output}{images}", markup=False, soft_wrap=True)
    if as_json:
        return print_json(found.record())
    if len(found.rows):
        Console().print(table_of(found.cells()))
    for line in found.lines():
        print(line)
    return None


@app.command("map")
def domains_map(
    family: Annotated[str, typer.Option("--family", help="text, vision or market.")] = "text",
    rev: Annotated[str, typer.Option("--rev", help="Git revision whose data.dvc is read.")] = "HEAD",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Draw the map into this PNG file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show which domains are alike: the nearest sources of each, and a map of all.

    Distances are between the mean features of classes, 0 to 2. What was encoded before is not encoded again.

    Example: acclimate domains map --family text -o map.png
    """
    from tasks.base.settings import families

    (chosen,) = families([family])
    check_output_folder(output)
    from domains.whole_file import write_whole
    from tasks.base.artifacts import table_of
    from tasks.base.progress import progress, terminal
    from tasks.meta_train.domain_map import examples_read, family_domains, make_map

    domains = family_domains(settings(), chosen, rev)
    with terminal(err), progress(f"read {chosen} domains", examples_read(domains)) as advance:
        found = make_map(settings(), domains, advance)
    if output is not None:
        from tasks.meta_train.pages import draw_map

        write_whole(output, draw_map(found))
        err.print(f"map written to {output}", markup=False, soft_wrap=True)
    if as_json:
        return print_json(found.to_json())
    Console().print(table_of(found.rows()))
    return None


@app.command("add")
def domains_add(
    name: Annotated[str, typer.Argument(help="Name of the domain: its folder in data/.")],
    path: Annotated[str, typer.Argument(help="A table, an export, a folder or archive, a price file, or a dataset.")],
    family: Annotated[str | None, typer.Option(help="text, vision or market; inferred.", show_default=False)] = None,
    text_column: Annotated[
        list[str] | None, typer.Option(help="Column of the texts; several are joined; inferred.", show_default=False)
    ] = None,
    label_column: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of labels, empty where unknown, or of 0 and 1 for one label; inferred.", show_default=False
        ),
    ] = None,
    group_column: Annotated[
        str | None, typer.Option(help="Column of groups: none is on both sides of the split.", show_default=False)
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(help="Column of times: the newest rows are the test; of prices, the dates.", show_default=False),
    ] = None,
    encoding: Encoding = None,
    header: Header = None,
    sheet: Sheet = None,
    test_share: Annotated[
        float | None, typer.Option(help="Share of labelled examples that become test; 0.2.", show_default=False)
    ] = None,
    test_most: Annotated[
        int | None, typer.Option(help="The most test examples per class; 200.", show_default=False)
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="accuracy, balanced_accuracy or macro_f1: what its models are to be best in.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Encoders of its examples, comma-separated: minilm, e5, efficientnet.")
    ] = None,
    folders: Annotated[
        str | None,
        typer.Option(help="First folders: classes, groups, inner; names: files named by labels.", show_default=False),
    ] = None,
    start: Annotated[str | None, typer.Option(help="Prices: first day; a year ago.", show_default=False)] = None,
    end: Annotated[str | None, typer.Option(help="Prices: last day; the latest.", show_default=False)] = None,
    several: Annotated[
        str | None, typer.Option(help="Several labels per example: first, or combine to a class.", show_default=False)
    ] = None,
    unlabelled: Annotated[
        list[str] | None, typer.Option(help="A label or folder that means not labelled; inferred.", show_default=False)
    ] = None,
    keep_labels: Annotated[
        bool, typer.Option("--keep-labels", help="Every value is a class: -1, ?, a|b, numbers too.")
    ] = False,
    date_order: Annotated[str | None, typer.Option(help="Prices: dmy, mdy or ymd.", show_default=False)] = None,
    decimal: Annotated[str | None, typer.Option(help="Prices: , or . before decimals.", show_default=False)] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Prices: time zone of the exchange, such as Europe/Berlin.", show_default=False)
    ] = None,
    price_column: Annotated[
        str | None, typer.Option(help="Prices: column of closing prices.", show_default=False)
    ] = None,
    asset_column: Annotated[str | None, typer.Option(help="Prices: column of asset names.", show_default=False)] = None,
    role: Annotated[
        str, typer.Option(help="target: to adapt to; source: to meta-train on, with no test held out.")
    ] = "target",
    keep_case: Annotated[bool, typer.Option("--keep-case", help="Labels that differ by case stay apart.")] = False,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out examples that cannot be read.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of a domain of that name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what was understood, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a domain of your own: texts, images or prices; what was understood is shown.

    Texts: CSV, TSV, JSON, JSONL, Parquet or Excel with a text and a label column; rows without a label become the pool.

    Images or texts: a folder, zip or tar with a folder a class or a table of labels; train and test are kept.

    Exports of Label Studio, doccano, Prodigy and Argilla: as they are.

    Prices: daily closes, wide or long; states of volatility become the labels.

    Or the name of a Hugging Face dataset, or a folder that datasets wrote.

    Example: acclimate domains add reports reports.csv --label-column diagnosis
    """
    from domains.objective import check_objective
    from domains.own.options import AddOptions
    from tasks.base.progress import terminal
    from tasks.base.settings import families
    from tasks.ingest.adding import add_domain, check_name_free, describe_new_domain, understand_input

    s = settings()
    check_name_free(s, name, replace)
    options = AddOptions(
        families([family])[0] if family is not None else None,
        text_column=tuple(text_column or ()),
        label_column=tuple(label_column or ()),
        group_column=group_column,
        time_column=time_column,
        encoding=encoding,
        test_share=test_share,
        test_most=test_most,
        several=several,
        unlabelled=tuple(unlabelled or ()),
        keep_labels=keep_labels,
        header=header,
        sheet=sheet,
        keep_case=keep_case,
        skip_unreadable=skip_unreadable,
        objective=None if objective is None else check_objective(objective),
        encoders=() if encoder is None else tuple(name.strip() for name in encoder.split(",")),
        folders=folders,
        role=role,  # type: ignore[arg-type]
        start=start,
        end=end,
        date_order=date_order,
        decimal=decimal,
        time_zone=time_zone,
        price_column=price_column,
        asset_column=asset_column,
    )
    with terminal(err):
        found = understand_input(settings(), path, options)
        if not as_json:
            for part in describe_new_domain(name, found):
                Console().print(part)
        if not dry_run:
            add_domain(s, name, found, replace)
    if as_json:
        return print_json({"domain": name, "written": not dry_run} | found.summary())
    if dry_run:
        err.print("nothing is written: --dry-run")
    else:
        then = f"adapt {name}" if role == "target" else f"meta-train --family {found.family}"
        err.print(
            f'data/{name} is written. Next: acclimate data commit -m "{name}", then acclimate {then}', soft_wrap=True
        )
    return None


@app.command("label")
def domains_label(
    name: Annotated[str, typer.Argument(help="A domain in data/.")],
    path: Annotated[str, typer.Argument(help="to_label.csv, or whatever domains add reads, with labels filled in.")],
    text_column: Annotated[
        str | None, typer.Option(help="Column of the examples; inferred.", show_default=False)
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the labels; inferred.", show_default=False)
    ] = None,
    encoding: Encoding = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Merge labels that a person filled in: of the pool into train; corrections of train and test where they are.

    Examples are found by their content, so rows may be sorted, cut or come from another table.

    Example: acclimate domains label reports to_label.csv
    """
    from domains.own.labelling import doubts, summary_rows
    from domains.own.options import AddOptions
    from tasks.base.artifacts import table_of
    from tasks.base.progress import terminal
    from tasks.ingest.labelling import label_domain

    options = AddOptions(
        text_column=() if text_column is None else (text_column,),
        label_column=() if label_column is None else (label_column,),
        encoding=encoding,
    )
    with terminal(err):
        found = label_domain(settings(), name, path, options, write=not dry_run)
    if as_json:
        return print_json({"domain": name, "written": found.changes and not dry_run} | found.summary())
    if rows := summary_rows(found):
        Console().print(table_of(rows))
    print_warnings(path, doubts(found, name))
    if not found.changes:
        err.print(f"data/{name} stays as it is: no label is new", markup=False, soft_wrap=True)
    elif dry_run:
        err.print("nothing is written: --dry-run")
    else:
        err.print(
            f'data/{name} is written. Next: acclimate data commit -m "Labels of {name}"; where acclimate up runs, it '
            f"adapts to them, else acclimate adapt {name}",
            markup=False,
            soft_wrap=True,
        )
    return None

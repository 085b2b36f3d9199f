"""Commands about domains."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domains.errors import UserError
from flows.terminal import AsJson, err, print_json
from tasks.settings import settings

app = typer.Typer(no_args_is_help=True, help="The domains: what is here, and what it is.")


@app.command("list")
def domains_list(as_json: AsJson = False) -> None:
    """List the domains of the catalogue and others in data/.

    state: built (in data/), can build (acclimate data build), or mirror: a file has to be brought, see domains show.

    Example: acclimate domains list
    """
    from tasks.artifacts import table_of
    from tasks.listing import listing

    rows = listing(settings())
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
    from tasks.listing import show

    found = show(settings(), name)
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
    from domains.checks import lines, summary
    from tasks.checking import check_domain
    from tasks.progress import terminal

    with terminal(err):
        found = check_domain(settings(), name)
    if as_json:
        print_json([finding.record() for finding in found])
    else:
        for line in lines(found):
            print(line)
        print(f"{name}: {summary(found)}")
    if any(finding.is_error for finding in found):
        raise typer.Exit(2)


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
    from tasks.settings import families

    (chosen,) = families([family])
    if output is not None and not output.resolve().parent.is_dir():
        raise UserError(f"cannot write {output}: no such folder; choose another path")
    from domains.files import write_whole
    from tasks.artifacts import table_of
    from tasks.progress import progress, terminal
    from tasks.similarity import examples_read, family_domains, make_map

    domains = family_domains(settings(), chosen, rev)
    with terminal(err), progress(f"read {chosen} domains", examples_read(domains)) as advance:
        found = make_map(settings(), domains, advance)
    if output is not None:
        from tasks.reports import map_picture

        write_whole(output, map_picture(found))
        err.print(f"map written to {output}", markup=False, soft_wrap=True)
    if as_json:
        return print_json(found.to_json())
    Console().print(table_of(found.rows()))
    return None

"""`curate manifests`: list, show, verify, log, tag and export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from curate.manifests import Manifest, Registry
    from curate.manifests.verify import Report
    from curate.workspace import Workspace

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """List, show, verify, tag and export manifests.

    \b
    REF is one of
      sketch-0.01-s0         a name: its newest version
      sketch-0.01-s0@v3      a version
      sketch-0.01-s0@paper   a tag
      3f2a9c                 the first 6 or more digits of an id
      ./copy, s3://…         the folder or URL of a version
    """


@command.command("list")
@click.option("--all", "every", is_flag=True, help="Every version, not only the newest of each name.")
@as_json_option
@click.pass_obj
def list_(home: str | None, *, every: bool, as_json: bool) -> None:
    """List the manifests of the workspace.

    Example: curate manifests list --json
    """
    registry = _registry(home)
    newest = {name: registry.next_version(name) - 1 for name in registry.names()}
    rows = [
        _row(registry, entry) for entry in registry.entries() if every or entry.version == newest[entry.name]
    ]
    if as_json:
        _print_json(rows)
        return
    if not rows:
        click.echo(f"{registry.path} holds no manifest; make one with `curate build`")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "manifest", "id", "strategy", "seed", "cells", "corpus", "tags", box=None, header_style="bold cyan"
    )
    for name in ("seed", "cells"):
        table.columns[[column.header for column in table.columns].index(name)].justify = "right"
    for row in rows:
        if "id" not in row:
            table.add_row(row["ref"], Text("damaged", style="red"))
            continue
        shown = [
            row["strategy"],
            _or_dash(row["seed"]),
            f"{row['n_cells']:,}",
            row["corpus"],
            Text("damaged", style="red") if row["problem"] else ", ".join(row["tags"]),
        ]
        table.add_row(row["ref"], row["id"][:12], *shown)
    console = console_of_data()
    console.print(table)
    for problem in dict.fromkeys(row["problem"] for row in rows if row["problem"]):
        console.print(Text(problem, style="red"), soft_wrap=True)
    _print_simulated({row["corpus"]: row["label"] for row in rows if "id" in row})


@command.command()
@click.argument("ref")
@click.option(
    "--top", type=click.IntRange(min=1), default=8, show_default=True, help="Labels of each column."
)
@as_json_option
@click.pass_obj
def show(home: str | None, *, ref: str, top: int, as_json: bool) -> None:
    """Show a manifest: selection, corpus, splits, composition, diversity.

    Example: curate manifests show sketch-0.01-s0
    """
    manifest = load(home, ref)
    if as_json:
        click.echo(manifest.document.to_bytes().decode(), nl=False)
        return
    from curate.manifests.page import page

    console_of_data().print(page(manifest.document, tags=_tags_of(home, manifest), top=top))


@command.command()
@click.argument("refs", metavar="[REF]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every version of every name in the workspace.")
@as_json_option
@click.pass_obj
def verify(home: str | None, *, refs: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Check every file and the id of manifests, every cell against the corpus, every number in the header.

    Exit status 1 when a check fails, once all manifests are checked. What cannot be checked without the
    corpus is said, and does not fail.

    Example: curate manifests verify sketch-0.01-s0
    """
    if every == bool(refs):
        raise click.UsageError("name manifests, or give --all")
    if every:
        refs = tuple(f"{entry.name}@v{entry.version}" for entry in _registry(home).entries())
    from curate.manifests.verify_all import raise_if_any_failed, verify_all

    reports = verify_all(refs, workspace=_workspace(home))
    if as_json:
        _print_json([report.to_json() for report in reports])
    else:
        for report in reports:
            _print_report(report)
    raise_if_any_failed(reports)


@command.command()
@click.argument("name")
@as_json_option
@click.pass_obj
def log(home: str | None, *, name: str, as_json: bool) -> None:
    """List the versions of a manifest and what changed in each.

    Example: curate manifests log sketch-0.01-s0
    """
    from curate.manifests.log import log as log_of

    versions = log_of(_registry(home), name)
    if as_json:
        _print_json([version.to_json() for version in versions])
        return
    from rich.table import Table

    table = Table("version", "id", "created", "cells", "tags", "changed", box=None, header_style="bold cyan")
    table.columns[3].justify = "right"
    for version in versions:
        changes = "\n".join(f"{change.name}: {change.a} → {change.b}" for change in version.changed)
        shown = [f"{version.n_cells:,}", ", ".join(version.tags), version.problem or changes]
        table.add_row(f"v{version.version}", version.id[:12], version.created[:16], *shown)
    console_of_data().print(table)
    _print_simulated({version.corpus: version.label for version in versions})


@command.command()
@click.argument("ref")
@click.argument("tag")
@click.option("--move", is_flag=True, help="Take the tag from the version that has it.")
@click.option("--delete", is_flag=True, help="Remove the tag instead.")
@click.pass_obj
def tag(home: str | None, *, ref: str, tag: str, move: bool, delete: bool) -> None:
    """Give a version a name to remember it by: then REF@TAG refers to it.

    Example: curate manifests tag sketch-0.01-s0@v2 paper
    """
    registry = _registry(home)
    if delete:
        name = ref.partition("@")[0]
        registry.untag(name, tag)
        click.echo(f"removed tag {tag} of {name}")
        return
    manifest = registry.tag(ref, tag, move=move)
    click.echo(f"{manifest.name}@{tag} is {manifest.ref}")


@command.command()
@click.argument("ref")
@click.argument("destination")
@click.option(
    "--portable", is_flag=True, help="Add dataset_id and observation_joinid, for use without the corpus."
)
@click.pass_obj
def export(home: str | None, *, ref: str, destination: str, portable: bool) -> None:
    """Copy a manifest to a new folder or URL.

    Example: curate manifests export sketch-0.01-s0 ./sketch --portable
    """
    from curate.manifests.export import export as export_to

    manifest = export_to(load(home, ref), destination, portable=portable)
    size = sum(file.n_bytes for file in manifest.document.files.values())
    click.echo(f"{manifest.ref}: {manifest.document.n_cells:,} cells, {size:,} bytes in {destination}")


def load(home: str | None, ref: str) -> Manifest:
    """Open a manifest by reference; names are those of the workspace at `home`, else of the one here."""
    from curate.manifests import Manifest

    return Manifest.load(ref, workspace=_workspace(home))


def _workspace(home: str | None) -> Workspace | None:
    from curate.workspace import Workspace

    return Workspace.find(home) if home else None


def _registry(home: str | None) -> Registry:
    from curate.manifests import Registry
    from curate.workspace import Workspace

    workspace = Workspace.find(home)
    return Registry(workspace.manifests_path, workspace=workspace)


def _row(registry: Registry, entry: Any) -> dict[str, Any]:
    document = entry.document
    from curate.errors import ManifestError

    problem, tags = entry.problem, []
    try:
        tags = [name for name, version in registry.tags(entry.name).items() if version == entry.version]
    except ManifestError as error:
        problem = problem or str(error)
    row = {"ref": f"{entry.name}@v{entry.version}", "problem": problem, "tags": tags}
    if document is None:
        return row
    return row | {
        "id": document.id,
        "created": document.created.isoformat(),
        "corpus": document.corpus.name,
        "label": document.corpus.label,
        "strategy": document.selection.strategy,
        "fraction": document.selection.fraction,
        "seed": document.selection.seed,
        "n_cells": document.n_cells,
    }


def _tags_of(home: str | None, manifest: Manifest) -> list[str]:
    """Return the tags of a manifest of the workspace; one from elsewhere has none."""
    from curate.errors import WorkspaceError

    try:
        registry = _registry(home)
    except WorkspaceError:
        return []
    if manifest.folder != str(registry.version_path(manifest.name, manifest.version)):
        return []
    return [tag for tag, version in registry.tags(manifest.name).items() if version == manifest.version]


def _print_report(report: Report) -> None:
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "failed": "red", "not checked": "yellow"}
    table = Table.grid(padding=(0, 2))
    for check in report.checks:
        table.add_row("", Text(check.outcome, style=styles[check.outcome]), check.name, check.detail)
    console = console_of_data()
    console.print(Text.assemble((report.ref, "bold"), "  ", (report.id[:12], "dim")))
    console.print(table)


def _print_simulated(labels: dict[str, str | None]) -> None:
    from curate.manifests.page import simulated

    if line := simulated(labels):
        console_of_data().print(line, style="yellow", soft_wrap=True)


def _print_json(content: Any) -> None:
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def console_of_data() -> Console:
    """Return a console that prints text as it is: a label may look like markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)

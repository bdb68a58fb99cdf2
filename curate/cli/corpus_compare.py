"""`curate corpus compare-source`, and what `add-source` says of cells that the corpus holds too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from curate.build.leakage.doubles import Doubles
    from curate.build.leakage.shared import Shared
    from curate.sources.source import Source

N_LISTED = 5


@click.command("compare-source")
@click.argument("name")
@click.option("--corpus", metavar="NAME", help="The corpus, where the workspace has several.")
@click.option(
    "--explain",
    "is_explained",
    is_flag=True,
    help="Compare nothing: print what it would read, hold and take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def compare_source(
    home: str | None, /, *, name: str, corpus: str | None, is_explained: bool, as_json: bool
) -> None:
    """Look for the cells of a source in its corpus and in the other sources, by name and by content.

    A source may hold cells of the corpus: they would bring validation and test cells into train. The counts
    of the corpus are read once, what was found is kept beside the source, and `curate build --spike-in` draws
    none of these cells, nor one of two sources twice. `add-source` and `build` do it by themselves where the
    corpus is local and it takes little.

    \b
    Examples:
        curate corpus compare-source k562 --explain
        curate corpus compare-source k562
    """
    from curate.sources.source import find_source
    from curate.workspace import Workspace

    source = find_source(Workspace.find(home).corpus(corpus), name)
    if is_explained:
        from curate.build.leakage.explain_sources import explain_doubles
        from curate.cli.explanation import show

        show([explain_doubles(source)], as_json=as_json)
        return
    from curate.build.leakage.doubles import find_doubles
    from curate.build.leakage.shared import find_shared, other_sources

    doubles = find_doubles(source)
    shared = {other.name: find_shared(source, other) for other in other_sources(source)}
    if as_json:
        report = doubles.header.model_dump(mode="json") | {"sources": sources_json(shared)}
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    for line in [*lines_of(source, doubles), *lines_of_shared(source, shared)]:
        click.echo(line)


def compared_when_added(source: Source) -> tuple[Doubles | None, str]:
    """Compare a source that was added with its corpus, unless that takes long.

    Returns
    -------
    What was found, None when it was not looked for, and then why not.
    """
    from curate.build.leakage.doubles import find_doubles, what_it_takes
    from curate.errors import CensusError

    takes = what_it_takes(source)
    remedy = f"`curate corpus compare-source {source.name}`"
    if not takes.is_small:
        return None, f"not compared with the corpus yet: {takes.sentence()}; {remedy} does it"
    try:
        return find_doubles(source), ""
    except CensusError as error:
        return None, f"not compared with the corpus: {error}; {remedy} does it later"


def compared_with_sources(source: Source, doubles: Doubles | None) -> tuple[dict[str, Shared], list[str]]:
    """Compare a source that was added with the others, as long as all comparisons together take little.

    Returns
    -------
    What was found, by source, and why others were not compared.
    """
    from curate.build.leakage.doubles import AT_ONCE_S, what_it_takes
    from curate.build.leakage.shared import kept_shared, other_sources, seconds_to_compare, shared_when_small
    from curate.errors import CensusError

    left = AT_ONCE_S - (what_it_takes(source).seconds if doubles else 0.0)
    shared: dict[str, Shared] = {}
    reasons = []
    for other in other_sources(source):
        is_known = kept_shared(source, other) is not None
        try:
            found, why_not = shared_when_small(source, other, allowed_s=left)
        except CensusError as error:
            found, why_not = None, f"not compared with source {other.name}: {error}"
        if found is None:
            reasons.append(why_not)
            continue
        shared[other.name] = found
        left -= 0.0 if is_known else seconds_to_compare(source, other)
    return shared, reasons


def sources_json(shared: dict[str, Shared]) -> dict[str, object]:
    """Return what was found of other sources as JSON knows it."""
    return {name: each.header.model_dump(mode="json") for name, each in shared.items()}


def lines_of_shared(source: Source, shared: dict[str, Shared]) -> list[str]:
    """Return what is to be said of the cells of a source that other sources hold."""
    lines = []
    for name, each in shared.items():
        made = each.made
        if made.why_not:
            lines.append(f"not compared with source {name} by {', '.join(made.why_not)}: {made.reasons}")
        if n := each.n_of(source):
            lines.append(
                f"{n:,} of its {source.n_cells:,} cells are in source {name} too; a build with both draws "
                "them from the one that is named first"
            )
        elif made.by:
            how = "" if made.is_by_content else f" by {', '.join(made.by)}"
            lines.append(f"no cell of it was found in source {name}{how}")
        if made.n_undecided and made.is_by_content:
            lines.append(
                f"{made.n_undecided:,} cells of the smaller detect too few genes that they share with source "
                f"{name} to be decided by content: not found is not clean"
            )
    return lines


def lines_of(source: Source, doubles: Doubles) -> list[str]:
    """Return what is to be said of the cells of a source that its corpus holds."""
    header, corpus, made = doubles.header, source.corpus, doubles.made
    if not header.n_cells:
        how = "" if made.is_by_content else f" by {', '.join(made.by) or 'any method'}"
        found = f"none of its {source.n_cells:,} cells was found in corpus {corpus.name}{how}"
    else:
        by = ", ".join(f"{method} {n:,}" for method, n in header.n_found.items())
        where = ", ".join(f"{name} ({n:,})" for name, n in list(header.datasets.items())[:N_LISTED])
        more = f" and {len(header.datasets) - N_LISTED:,} more" if len(header.datasets) > N_LISTED else ""
        found = (
            f"{header.n_cells:,} of its {source.n_cells:,} cells are in corpus {corpus.name} and will not be "
            f"drawn ({by}), as {header.n_corpus_cells:,} cells of {where}{more}"
        )
    lines = []
    if made.why_not:
        lines.append(f"not compared with corpus {corpus.name} by {', '.join(made.why_not)}: {made.reasons}")
    lines.append(found)
    if header.n_too_few:
        lines.append(
            f"{header.n_too_few:,} detect too few genes that they share with some of the corpus' datasets to "
            "be decided by content: not found is not clean"
        )
    return lines

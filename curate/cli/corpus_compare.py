"""`curate corpus compare-source`, and what `add-source` says of cells that the corpus holds too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from curate.build.leakage.doubles import Doubles
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
    """Look for the cells of a source in its corpus, by name and by content.

    A source may hold cells of the corpus: they would bring validation and test cells into train. The counts
    of the corpus are read once, what was found is kept beside the source, and `curate build --spike-in` draws
    none of these cells. `add-source` and `build` do it by themselves where the corpus is local and small.

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

    doubles = find_doubles(source)
    if as_json:
        click.echo(json.dumps(doubles.header.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    for line in lines_of(source, doubles):
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


def lines_of(source: Source, doubles: Doubles) -> list[str]:
    """Return what is to be said of the cells of a source that its corpus holds."""
    header, corpus = doubles.header, source.corpus
    if not header.n_cells:
        found = f"none of its {source.n_cells:,} cells was found in corpus {corpus.name}"
    else:
        by = ", ".join(f"{method} {n:,}" for method, n in header.n_found.items())
        where = ", ".join(f"{name} ({n:,})" for name, n in list(header.datasets.items())[:N_LISTED])
        more = f" and {len(header.datasets) - N_LISTED:,} more" if len(header.datasets) > N_LISTED else ""
        found = (
            f"{header.n_cells:,} of its {source.n_cells:,} cells are in corpus {corpus.name} and will not be "
            f"drawn ({by}), as {header.n_corpus_cells:,} cells of {where}{more}"
        )
    lines = [found]
    if header.n_too_few:
        lines.append(
            f"{header.n_too_few:,} detect too few genes that they share with some of the corpus' datasets to "
            "be decided by content: not found is not clean"
        )
    lines += [f"not compared by {method}: {why_not}" for method, why_not in header.why_not.items()]
    return lines

"""The genes of a corpus on the terminal: how many, and who measured them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from curate.corpus import Corpus


def genes_report(corpus: Corpus) -> dict[str, Any]:
    """Return what there is to say about the genes of a corpus, its data sets and its sources."""
    from curate.corpus.presence import measured_genes
    from curate.sources.source import find_source, source_names

    genes = measured_genes(corpus)
    assert genes.presence is not None
    n_datasets = genes.presence.n_datasets
    return {
        "n": genes.n_genes,
        "digest": genes.digest,
        "n_measured_by_every_dataset": int((n_datasets == len(genes.presence.datasets)).sum()),
        "n_measured_by_no_dataset": int((n_datasets == 0).sum()),
        "n_measured_by_dataset": genes.presence.n_genes,
        "n_measured_by_source": {
            name: find_source(corpus, name).header.genes.n_measured for name in source_names(corpus)
        },
    }


def print_genes(console: Console, report: dict[str, Any], *, top: int) -> None:
    """Print the report: data sets that measured the fewest genes first."""
    from rich.markup import escape
    from rich.table import Table

    n = report["n"]
    console.print()
    console.print(f"genes: {n:,}, digest {report['digest'][:12]}", markup=False)
    console.print(
        f"measured by every data set {report['n_measured_by_every_dataset']:,}, "
        f"by none {report['n_measured_by_no_dataset']:,}"
    )
    for title, counts in (
        ("data set", report["n_measured_by_dataset"]),
        ("source", report["n_measured_by_source"]),
    ):
        if not counts:
            continue
        table = Table(box=None)
        table.add_column(f"{title} ({len(counts):,})", overflow="fold")
        table.add_column("genes measured", justify="right", no_wrap=True)
        table.add_column("%", justify="right", no_wrap=True)
        for name, measured in sorted(counts.items(), key=lambda item: (item[1], item[0]))[:top]:
            table.add_row(escape(name), f"{measured:,}", f"{100 * measured / n:.2f}")
        if len(counts) > top:
            table.add_row(f"and {len(counts) - top:,} with as many or more", "", "")
        console.print()
        console.print(table)

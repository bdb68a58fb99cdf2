"""`curate leakage`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from curate.cli.companions import goes_with
from curate.cli.leakage_options import Methods

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from curate.build.leakage.found import EvaluationReport, LeakageReport, MethodCount, SourceReport
    from curate.manifests.manifest import Manifest

FailOn = Literal["cells", "any", "none"]
MOST_DONORS = 12


@click.command("leakage")
@click.argument("manifest")
@click.argument("evaluations", metavar="EVAL...", nargs=-1, required=True)
@click.option(
    "--by",
    type=Methods(),
    default="joinid,exact,near,donor,possible-donor",
    show_default=True,
    help="How to look. Only exact and near read counts.",
)
@click.option(
    "--fail-on",
    type=click.Choice(get_args(FailOn)),
    default="cells",
    show_default=True,
    help="Exit 1 when cells are shared, when cells or (possible) donors are, or never; also when cells could "
    "not be compared at all.",
)
@click.option("--layer", help="Of an h5ad file: where its counts or log-normalised values stand.")
@click.option("--gene-column", metavar="COLUMN", help="Of an h5ad file: var column with ids or symbols.")
@click.option(
    "--write-pairs",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the pairs of like cells (CSV).",
)
@click.option(
    "--explain",
    "is_explained",
    is_flag=True,
    help="Compare nothing: print what it would read, hold and take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
@goes_with(
    "layer",
    "gene_column",
    needs="an h5ad file",
    is_met=lambda values: not all("://" in each or Path(each).is_dir() for each in values["evaluations"]),
)
@goes_with(
    "write_pairs", needs="--by exact or near", is_met=lambda values: {"exact", "near"} & set(values["by"])
)
def command(
    home: str | None,
    *,
    manifest: str,
    evaluations: tuple[str, ...],
    by: list[Any],
    fail_on: FailOn,
    layer: str | None,
    gene_column: str | None,
    write_pairs: Path | None,
    is_explained: bool,
    as_json: bool,
) -> None:
    """Look for cells and donors of evaluation sets among the cells of MANIFEST, spike-ins among them.

    EVAL is an h5ad file (counts, or log-normalised) or a store of the Census layout. Cells are looked for by
    name (joinid), by equal counts (exact) and by nearly the same detected genes (near), which finds a cell
    that was filtered, normalised, thinned, quantified again or renamed; donors by dataset and donor id, and
    apart from these, donor ids that stand under two datasets (possible-donor).

    \b
    Examples:
        curate leakage random-0.01-s0 eval.h5ad
        curate leakage random-0.01-s0 eval.h5ad --fail-on any --json
        curate leakage random-0.01-s0 eval.h5ad --by joinid,donor
    """
    from curate.cli.manifests import console_of_data, load

    opened = load(home, manifest)
    if is_explained:
        _explain(opened, evaluations, by=by, as_json=as_json)
        return
    from curate.build.leakage.guard import CELL_METHODS, METHODS
    from curate.build.leakage.report import leakage

    report = leakage(opened, evaluations, by=by, layer=layer, gene_column=gene_column)
    if write_pairs is not None:
        _write_pairs(report, write_pairs)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        console = console_of_data()
        for each in report.evaluations:
            console.print(*_lines(report, each), sep="\n")
    if fail_on != "none":
        _fail(report, METHODS if fail_on == "any" else CELL_METHODS)


def _fail(report: LeakageReport, methods: Sequence[Any]) -> None:
    """Raise when something was found, or when some cells could not be compared."""
    from curate.errors import LeakageError
    from curate.manifests.document import CENSUS
    from curate.wording import counted

    n_found = report.n_found(methods)
    if n_found:
        names = ", ".join(each.name for each in report.evaluations if each.n_found(methods))
        what = (
            f"{counted(report.n_shared_cells, 'cell')}"
            if report.n_shared_cells
            else f"{counted(n_found, 'cell')} of donors"
        )
        raise LeakageError(
            f"{report.manifest} holds {what} of {names}; build with --exclude-overlap, or allow it with "
            "--fail-on none"
        )
    for each in report.evaluations:
        for name, why_not in each.not_compared(methods).items():
            n, of = (
                (report.n_cells, "the corpus")
                if name == CENSUS
                else (report.n_spike_ins[name], f"source {name!r}")
            )
            raise LeakageError(
                f"{report.manifest}: its {counted(n, 'cell')} of {of} could not be compared with "
                f"{each.name}: {why_not}; nothing says that they are not in it (--fail-on none allows that)"
            )


def _explain(manifest: Manifest, evaluations: tuple[str, ...], *, by: list[Any], as_json: bool) -> None:
    from curate.build.leakage.explain import explain_overlap
    from curate.build.leakage.explain_sources import explain_source
    from curate.cli.explanation import show
    from curate.manifests.sources import sources_of

    corpus, workspace, document = manifest.corpus(), manifest.workspace, manifest.document
    root = workspace.root if workspace else None
    sources = sources_of(document, corpus)
    spiked = {record.source: record.n_cells for record in document.spike_ins}
    explained = []
    for each in evaluations:
        explained.append(explain_overlap(corpus, each, root=root, n_cells=document.selection.n_cells, by=by))
        explained += [explain_source(sources[name], each, n_cells=n, by=by) for name, n in spiked.items()]
    show(explained, as_json=as_json)


def _write_pairs(report: LeakageReport, path: Path) -> None:
    import polars as pl

    from curate.atomic import atomic_file

    pairs = [
        each.pairs.select(pl.lit(each.name).alias("evaluation"), pl.all())
        for each in report.evaluations
        if each.pairs.width
    ]
    with atomic_file(path) as aside:
        (pl.concat(pairs) if pairs else pl.DataFrame()).write_csv(aside)


def _lines(report: LeakageReport, each: EvaluationReport) -> list[Any]:
    kind = "normalised" if each.was_normalised else "counts"
    of_corpus = each.n_shared_cells - sum(source.n_shared_cells for source in each.sources.values())
    lines: list[Any] = [
        f"{each.name} ({each.fingerprint[:8]}): {each.n_cells:,} cells, {each.n_mapped:,} of "
        f"{each.n_genes:,} genes in the Census, {kind}",
        f"in {report.manifest} ({report.n_cells:,} cells of the corpus): {of_corpus:,} of its cells",
        *_methods(each.methods),
        *_content(each, each),
    ]
    for name, source in each.sources.items():
        if source.why_not is not None:
            lines.append(f"spike-ins of {name} ({source.n_cells:,} cells) not compared: {source.why_not}")
            continue
        lines += [
            f"spike-ins of {name} ({source.n_cells:,} cells): {source.n_shared_cells:,} of them",
            *_methods(source.methods),
            *_content(each, source),
        ]
    if each.n_without_counts:
        lines.append(f"{each.n_without_counts:,} cells have no known counts: exact does not see them")
    if each.donors.height:
        lines.append(_donors(each))
    return [*lines, ""]


def _methods(methods: Mapping[Any, MethodCount]) -> list[Any]:
    from rich.table import Table

    splits = list(next(iter(methods.values())).splits)
    table = Table(box=None, header_style="bold")
    table.add_column("found by")
    for title in ("cells", *splits, "of EVAL"):
        table.add_column(title, justify="right")
    for method, count in methods.items():
        numbers = (count.n_cells, *count.splits.values(), count.n_evaluation_cells)
        texts = [f"{n:,}" for n in numbers] if count.why_not is None else ["?"] * len(numbers)
        table.add_row(method, *texts)
    not_compared = [
        f"not compared by {name}: {count.why_not}" for name, count in methods.items() if count.why_not
    ]
    return [table, *not_compared]


def _donors(each: EvaluationReport) -> Table:
    from rich.table import Table

    n_more = each.donors.height - MOST_DONORS
    table = Table(
        box=None,
        header_style="bold",
        caption=f"and {n_more:,} more; all with --json" if n_more > 0 else None,
        caption_justify="left",
    )
    table.add_column("dataset_id", overflow="fold")
    table.add_column("donor_id", overflow="fold")
    for title in ("cells", *each.methods):
        table.add_column(title, justify="right")
    held = [each.methods, *(source.methods for source in each.sources.values() if source.methods)]
    unknown = [all(methods[name].why_not is not None for methods in held) for name in each.methods]
    for place, name, n, *counts in each.donors.head(MOST_DONORS).iter_rows():
        numbers = (
            "?" if not_known else f"{count:,}" for count, not_known in zip(counts, unknown, strict=True)
        )
        table.add_row(str(place), str(name), f"{n:,}", *numbers)
    return table


def _content(each: EvaluationReport, compared: EvaluationReport | SourceReport) -> list[str]:
    """Say how the content of cells of the corpus, or of a source, was compared."""
    if not compared.gene_sets:
        return []
    genes = [one["n_genes"] for one in compared.gene_sets]
    excess = [one["excess"] for one in compared.gene_sets if one["excess"] is not None]
    expected = [one["n_false_expected"] for one in compared.gene_sets if one["n_false_expected"] is not None]
    shared = f"{min(genes):,}" if min(genes) == max(genes) else f"{min(genes):,} to {max(genes):,}"
    lines = [f"content compared over {shared} shared genes"]
    if excess:
        lines[0] += f"; a near pair has an excess of {max(excess):.2f} or more"
    if expected:
        most = max(expected)
        lines[0] += f", false hits to expect: {'< 0.001' if most < 1e-3 else f'{most:.2g}'}"
    if compared.n_too_few:
        lines.append(
            f"{compared.n_too_few:,} of {each.n_cells:,} cells detect too few shared genes to be decided by "
            "content: not found is not clean"
        )
    if compared.undecidable_fraction:
        lines.append(
            f"about {100 * compared.undecidable_fraction:.2g} % of the cells are as like their neighbours as "
            "a copy would be, and cannot be decided by near"
        )
    return lines

"""`curate leakage`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from curate.cli.companions import goes_with
from curate.cli.leakage_options import Methods

if TYPE_CHECKING:
    from rich.table import Table

    from curate.build.leakage.report import EvaluationReport, LeakageReport
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
    help="Exit 1 when cells are shared, when cells or (possible) donors are, or never.",
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
    """Look for cells and donors of evaluation sets among the cells of MANIFEST.

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
    from curate.errors import LeakageError

    opened = load(home, manifest)
    if is_explained:
        _explain(opened, evaluations, by=by, as_json=as_json)
        return
    from curate.build.leakage.guard import CELL_METHODS, METHODS
    from curate.build.leakage.report import leakage
    from curate.wording import counted

    report = leakage(opened, evaluations, by=by, layer=layer, gene_column=gene_column)
    if write_pairs is not None:
        _write_pairs(report, write_pairs)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        console = console_of_data()
        for each in report.evaluations:
            console.print(*_lines(report, each), sep="\n")
    n_found = report.n_found(METHODS if fail_on == "any" else CELL_METHODS)
    if n_found and fail_on != "none":
        methods = METHODS if fail_on == "any" else CELL_METHODS
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


def _explain(manifest: Manifest, evaluations: tuple[str, ...], *, by: list[Any], as_json: bool) -> None:
    from curate.build.leakage.explain import explain_overlap
    from curate.cli.explanation import show

    corpus, workspace = manifest.corpus(), manifest.workspace
    root = workspace.root if workspace else None
    n_cells = manifest.document.selection.n_cells
    show(
        [explain_overlap(corpus, each, root=root, n_cells=n_cells, by=by) for each in evaluations],
        as_json=as_json,
    )


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
    lines: list[Any] = [
        f"{each.name} ({each.fingerprint[:8]}): {each.n_cells:,} cells, {each.n_mapped:,} of "
        f"{each.n_genes:,} genes in the Census, {kind}",
        f"in {report.manifest} ({report.n_cells:,} cells): {each.n_shared_cells:,} of its cells"
        + (f"; {report.n_not_compared:,} spike-in cells not compared" if report.n_not_compared else ""),
        _methods(each),
        *(
            f"not compared by {name}: {count.why_not}"
            for name, count in each.methods.items()
            if count.why_not
        ),
    ]
    if each.donors.height:
        lines.append(_donors(each))
    return [*lines, *_content(each), ""]


def _methods(each: EvaluationReport) -> Table:
    from rich.table import Table

    splits = list(next(iter(each.methods.values())).splits)
    table = Table(box=None, header_style="bold")
    table.add_column("found by")
    for title in ("cells", *splits, "of EVAL"):
        table.add_column(title, justify="right")
    for method, count in each.methods.items():
        numbers = (count.n_cells, *count.splits.values(), count.n_evaluation_cells)
        texts = [f"{n:,}" for n in numbers] if count.why_not is None else ["?"] * len(numbers)
        table.add_row(method, *texts)
    return table


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
    for row in each.donors.head(MOST_DONORS).iter_rows():
        table.add_row(*(str(value) for value in row[:2]), *(f"{value:,}" for value in row[2:]))
    return table


def _content(each: EvaluationReport) -> list[str]:
    if not each.gene_sets:
        return []
    genes = [one["n_genes"] for one in each.gene_sets]
    excess = max(one["excess"] for one in each.gene_sets)
    expected = [one["n_false_expected"] for one in each.gene_sets if one["n_false_expected"] is not None]
    shared = f"{min(genes):,}" if min(genes) == max(genes) else f"{min(genes):,} to {max(genes):,}"
    lines = [
        f"content compared over {shared} shared genes; a near pair has an excess of {excess:.2f} or more"
    ]
    if expected:
        most = max(expected)
        lines[0] += f", false hits to expect: {'< 0.001' if most < 1e-3 else f'{most:.2g}'}"
    if each.n_too_few:
        lines.append(
            f"{each.n_too_few:,} of {each.n_cells:,} cells detect too few shared genes to be decided by "
            "content: not found is not clean"
        )
    if each.undecidable_fraction:
        lines.append(
            f"about {100 * each.undecidable_fraction:.2g} % of the cells are as like their neighbours as a "
            "copy would be, and cannot be decided by near"
        )
    if each.n_without_counts:
        lines.append(f"{each.n_without_counts:,} cells have no known counts: exact does not see them")
    return lines

"""`curate sweep report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl


def _page_name(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix != ".html":
        raise click.BadParameter(f"{value} does not end in .html")
    return value


def _table_name(ctx: click.Context, param: click.Parameter, value: tuple[Path, ...]) -> tuple[Path, ...]:
    for path in value:
        if path.suffix not in (".csv", ".parquet", ".tex"):
            raise click.BadParameter(f"{path} ends in none of .csv, .parquet, .tex")
    return value


def _folder(name: str, what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    kind = click.Path(file_okay=False, path_type=Path)
    return click.option(
        f"--{name}", f"{name}_folder", type=kind, metavar="DIR", help=f"Write each chart as {what} too."
    )


@click.command("report")
@click.argument("sweeps", metavar="[SWEEP | RESULTS.parquet]...", nargs=-1)
@click.option(
    "-o",
    "--output",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_page_name,
    help="The page, which holds all it needs: .html.",
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_table_name,
    help="Write the saturation table: .csv, .parquet or .tex; repeatable.",
)
@click.option(
    "--differences",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=lambda ctx, param, value: value and _table_name(ctx, param, (value,))[0],
    help="Write every strategy against random: .csv or .parquet.",
)
@_folder("png", "PNG")
@_folder("svg", "SVG")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="METRIC",
    help="Report this one; repeatable, or all.  [default: the first of each task]",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    help="Of plateaus, in units of the score.  [default: 5 % of the best mean]",
)
@click.option("--title", metavar="TEXT", help="Of the page.  [default: the name of the sweep]")
@click.pass_obj
def command(
    home: str | None,
    *,
    sweeps: tuple[str, ...],
    page: Path | None,
    tables: tuple[Path, ...],
    differences: Path | None,
    png_folder: Path | None,
    svg_folder: Path | None,
    metrics: tuple[str, ...],
    tolerance: float | None,
    title: str | None,
) -> None:
    """Say what a sweep has found: charts, tables, and words that the numbers support.

    Without SWEEP the one that was run last. Tables of results that `curate evaluate -o` wrote may be named
    instead. Without -o the words are printed.

    \b
    Examples:
        curate sweep report -o sweep.html
        curate sweep report study --table saturation.csv --table saturation.tex --png charts
        curate sweep report results.parquet --metric macro_f1 --metric accuracy
    """
    if page is not None or png_folder is not None or svg_folder is not None:
        from curate.charts import check_charts

        check_charts()
    if differences is not None and differences.suffix == ".tex":
        raise click.UsageError("--differences writes .csv or .parquet")
    from curate.evaluate.report.report import charts_of, make_report
    from curate.progress import progress

    results, failures, name = _read(home, sweeps)
    with progress("Fitting", 1, unit="report") as advance:
        report = make_report(results, metrics=metrics, tolerance=tolerance, failures=failures)
        advance(1)
    written: list[Path] = []
    for path in tables:
        from curate.evaluate.report.tables import write_table

        write_table(report.saturation, path)
        written.append(path)
    if differences is not None:
        from curate.evaluate.report.tables import write_table

        write_table(report.differences, differences)
        written.append(differences)
    folders = [(folder, suffix) for folder, suffix in ((png_folder, ".png"), (svg_folder, ".svg")) if folder]
    if folders:
        from curate.charts import save_chart

        for called, chart in charts_of(report):
            for folder, suffix in folders:
                folder.mkdir(parents=True, exist_ok=True)
                save_chart(chart, folder / f"{called}{suffix}")
                written.append(folder / f"{called}{suffix}")
    if page is not None:
        from curate.evaluate.report.page import write_page

        write_page(report, page, title=title or name)
        written.append(page)
    for path in written:
        click.echo(f"wrote {path}", err=True)
    if page is None:
        from curate.evaluate.report.verdicts import in_words

        for line in in_words(report):
            click.echo(line)


def _read(home: str | None, sweeps: tuple[str, ...]) -> tuple[pl.DataFrame, pl.DataFrame | None, str]:
    """Return results, failures (columns what and error), and what to call them."""
    from curate.evaluate.results import read_results

    paths = [Path(each) for each in sweeps if each.endswith(".parquet")]
    named = [each for each in sweeps if not each.endswith(".parquet")]
    if paths and not named:
        return read_results(paths), None, ", ".join(path.stem for path in paths)
    if paths:
        raise click.UsageError("name sweeps or tables of results, not both")
    import polars as pl

    from curate.evaluate.sweep.folder import find_sweep
    from curate.evaluate.sweep.status import status
    from curate.evaluate.sweep.table import read_sweep
    from curate.workspace import Workspace

    workspace = Workspace.find(home)
    folders = [find_sweep(workspace, each) for each in named or [None]]
    found = [each for folder in folders for each in status(folder).failed]
    failed = [{"what": each.called, "error": each.error} for each in found]
    failures = pl.DataFrame(failed, schema={"what": pl.String(), "error": pl.String()})
    results = pl.concat([read_sweep(folder) for folder in folders])
    return results, failures, ", ".join(folder.path.name for folder in folders)

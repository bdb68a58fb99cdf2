"""The results of a sweep as one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from curate.errors import EvaluationError, SweepError
from curate.evaluate.results import RESULT_SCHEMA, read_results, write_results
from curate.evaluate.sweep.plan import read_plan

if TYPE_CHECKING:
    from curate.evaluate.sweep.folder import SweepFolder
    from curate.evaluate.sweep.plan import PlanDocument


def assemble(folder: SweepFolder, plan: PlanDocument | None = None) -> pl.DataFrame:
    """Put the rows of all finished evaluations into results.parquet, in the order of the grid.

    Strategy, model and data set are named as the grid calls them: a strategy with its spike-ins, ALL for the
    whole corpus, a model with its budget where there are several, a data set with the label of the task.

    Raises
    ------
    EvaluationError
        When rows are damaged or of another format.
    """
    plan = plan or read_plan(folder)
    tables = [pl.DataFrame(schema=RESULT_SCHEMA)]
    held: dict[str, pl.DataFrame] = {}
    for place in plan.rows:
        path = folder.rows_path(place.job)
        if not path.is_file():
            continue
        if place.job not in held:
            held = {place.job: read_results([path])}
        names = {"strategy": place.strategy, "model": place.model, "dataset": place.dataset}
        named = [pl.lit(value).alias(column) for column, value in names.items() if value is not None]
        tables.append(held[place.job].with_columns(named))
    table = pl.concat(tables)
    write_results(table, folder.results_path)
    return table


def read_sweep(folder: SweepFolder) -> pl.DataFrame:
    """Return the table of results that the last run has left; that of a run at work may lack the newest.

    Raises
    ------
    SweepError
        When there is none yet.
    EvaluationError
        When it is damaged or of another format.
    """
    if not folder.results_path.exists():
        raise SweepError(
            f"sweep {folder.path.name} has no results yet; see `curate sweep status {folder.path.name}`"
        )
    return read_results([folder.results_path])


def refuse_other_rows(folder: SweepFolder) -> None:
    """Raise SweepError when rows of an earlier run are of another format: before hours of work, not after."""
    for path in sorted((folder.path / "rows").glob("*.parquet"))[:1]:
        try:
            read_results([path])
        except EvaluationError as error:
            raise SweepError(
                f"{error}; or remove {path.parent}, and what is there is evaluated again"
            ) from None

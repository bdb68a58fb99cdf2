"""Results: one tidy row a number, in Parquet files that say which format they have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from curate.atomic import atomic_file
from curate.errors import EvaluationError
from curate.evaluate.metrics import metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

FORMAT: Final = "1"
_KEY: Final = b"curate.results"
_NOTICES: Final = b"curate.notices"

Setting = Literal["zero-shot", "head", "full"]
Kind = Literal["trained", "untrained", "baseline"]

RESULT_SCHEMA: Final[dict[str, pl.DataType]] = {
    "corpus": pl.String(),
    "manifest": pl.String(),
    "manifest_ref": pl.String(),
    "strategy": pl.String(),
    "fraction": pl.Float64(),
    "subset_seed": pl.Int64(),
    "n_train_cells": pl.Int64(),
    "model": pl.String(),
    "kind": pl.String(),
    "preset": pl.String(),
    "model_name": pl.String(),
    "model_id": pl.String(),
    "seed": pl.Int64(),
    "task": pl.String(),
    "setting": pl.String(),
    "method": pl.String(),
    "dataset": pl.String(),
    "dataset_id": pl.String(),
    "evaluation_seed": pl.Int64(),
    "part": pl.String(),
    "metric": pl.String(),
    "metric_version": pl.Int64(),
    "value": pl.Float64(),
    "higher_is_better": pl.Boolean(),
    "trivial": pl.Float64(),
    "replicate": pl.Float64(),
    "normalised": pl.Float64(),
    "n_cells": pl.Int64(),
    "genes_found": pl.Float64(),
    "leakage": pl.String(),
    "label": pl.String(),
    "n_cells_seen": pl.Int64(),
    "n_steps": pl.Int64(),
    "train_seconds": pl.Float64(),
    "seconds": pl.Float64(),
}
"""Columns of a table of results.

corpus, manifest, model_id, dataset_id are ids; strategy to n_train_cells describe the subset of a trained
model and are null otherwise; seed is that of the training, evaluation_seed that of the split of a probe; part
is "" for all cells, else "column=value" or a group of cells; genes_found the share of the model's genes that
the data have; leakage "none", or what was allowed, dropped, or could not be told; label what the data say of
themselves, such as that they are simulated; n_cells_seen to train_seconds the cost of the training, seconds
that of the evaluation.
"""


@dataclass(frozen=True)
class Score:
    """One number that a task found.

    Attributes
    ----------
    setting
        How the model was used: as it is, with a trained head, or trained further.
    method
        What made the answer of the representation: a probe, a head, or a baseline.
    part
        "" for all cells; "column=value", or the name of a group of them.
    metric
        A key of METRICS.
    n_cells
        Cells that the number is of.
    """

    setting: Setting
    method: str
    metric: str
    value: float
    n_cells: int
    part: str = ""


def rows(scores: Sequence[Score], facts: Mapping[str, Any]) -> pl.DataFrame:
    """Return the rows of scores; `facts` are the columns that all of them share."""
    held = [
        {
            **facts,
            "setting": each.setting,
            "method": each.method,
            "part": each.part,
            "metric": each.metric,
            "metric_version": metric(each.metric).version,
            "higher_is_better": metric(each.metric).higher_is_better,
            "value": each.value,
            "n_cells": each.n_cells,
        }
        for each in scores
    ]
    return pl.DataFrame(held, schema=RESULT_SCHEMA, orient="row")


def normalised(table: pl.DataFrame, *, trivial: str, replicate: str | None) -> pl.DataFrame:
    """Fill in (value - trivial) / (replicate - trivial), as cell-eval2 does.

    Trivial and replicate are the scores that the methods of these names have in the table, of the same data
    set, part, metric and evaluation seed. Without a replicate, the perfect score of a metric that has one (1
    of a share) is not taken for it: the column stays null. So it does where the replicate is no better than
    the trivial method, for then the metric cannot tell them apart.
    """
    by = ["task", "dataset_id", "evaluation_seed", "part", "metric"]

    def of(method: str | None, name: str) -> pl.DataFrame:
        found = table.filter(pl.col("method") == method) if method else table.clear()
        return found.group_by(by).agg(pl.col("value").first().alias(name))

    joined = (
        table.drop("trivial", "replicate", "normalised")
        .join(of(trivial, "trivial"), on=by, how="left", maintain_order="left")
        .join(of(replicate, "replicate"), on=by, how="left", maintain_order="left")
    )
    span = pl.col("replicate") - pl.col("trivial")
    gain = pl.when(pl.col("higher_is_better")).then(span).otherwise(-span)
    score = pl.when(gain > 0).then((pl.col("value") - pl.col("trivial")) / span)
    return joined.with_columns(score.alias("normalised")).select(list(RESULT_SCHEMA))


def write_results(table: pl.DataFrame, path: Path, *, notices: Sequence[str] = ()) -> None:
    """Write a table of results as Parquet, aside and renamed.

    Parameters
    ----------
    notices
        What a person should know of them; see `read_notices`.

    Raises
    ------
    WriteError
        When it cannot be written; nothing is left half-written.
    """
    arrow = pl.DataFrame(table, schema=RESULT_SCHEMA).to_arrow(compat_level=pl.CompatLevel.oldest())
    said = {_KEY: FORMAT.encode(), _NOTICES: json.dumps(list(notices)).encode()}
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **said})
    with atomic_file(path) as aside:
        pq.write_table(arrow, aside, compression="zstd")


def read_results(paths: Iterable[Path]) -> pl.DataFrame:
    """Read tables of results, one below the other.

    Raises
    ------
    EvaluationError
        When a file is missing, damaged, holds no results, or results of another format.
    """
    tables = [pl.DataFrame(schema=RESULT_SCHEMA)]
    for path in paths:
        try:
            found = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as fault:
            raise EvaluationError(f"{path} cannot be read as results: {str(fault).splitlines()[0]}") from None
        number = (found.schema.metadata or {}).get(_KEY)
        if number is None:
            raise EvaluationError(f"{path} holds no results of curate; make them with `curate evaluate`")
        if number.decode() != FORMAT:
            raise EvaluationError(
                f"{path} holds results of format {number.decode()}, this curate reads {FORMAT}; "
                "evaluate again, or read it with the curate that wrote it"
            )
        tables.append(
            pl.DataFrame(pl.from_arrow(found)).select(list(RESULT_SCHEMA)).cast(pl.Schema(RESULT_SCHEMA))
        )
    return pl.concat(tables)


def read_notices(path: Path) -> list[str]:
    """Return what was to be known of the results in a file that `read_results` reads."""
    found = pq.read_schema(path).metadata or {}
    return [str(each) for each in json.loads(found.get(_NOTICES, b"[]"))]

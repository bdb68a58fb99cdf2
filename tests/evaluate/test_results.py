"""Tables of results: rows, normalisation, files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq
import pytest

from curate.errors import EvaluationError
from curate.evaluate.metrics import METRICS, metric
from curate.evaluate.results import (
    RESULT_SCHEMA,
    Score,
    normalised,
    read_notices,
    read_results,
    rows,
    write_results,
)

if TYPE_CHECKING:
    from pathlib import Path

FACTS = {"task": "classify", "dataset": "d", "dataset_id": "1", "evaluation_seed": 0, "kind": "baseline"}


def table(**values: float) -> pl.DataFrame:
    return rows([Score("zero-shot", name, "accuracy", value, 10) for name, value in values.items()], FACTS)


def test_every_number_carries_the_version_and_direction_of_its_metric() -> None:
    found = rows(
        [Score("zero-shot", "knn", "accuracy", 0.5, 10), Score("head", "mlp", "calibration_error", 0.1, 9)],
        FACTS,
    )
    assert found.schema == pl.Schema(RESULT_SCHEMA)
    assert found["metric_version"].to_list() == [
        METRICS["accuracy"].version,
        METRICS["calibration_error"].version,
    ]
    assert found["higher_is_better"].to_list() == [True, False]
    assert found["dataset"].to_list() == ["d", "d"]


def test_a_score_stands_between_the_trivial_and_the_replicate() -> None:
    found = normalised(table(majority=0.2, knn=0.5, replicate=0.8), trivial="majority", replicate="replicate")
    assert found["normalised"].to_list() == pytest.approx([0.0, 0.5, 1.0])
    assert found["trivial"].to_list() == [0.2] * 3


def test_without_a_replicate_nothing_is_normalised() -> None:
    found = normalised(table(majority=0.2, knn=0.5), trivial="majority", replicate=None)
    assert found["normalised"].null_count() == 2
    assert found["trivial"].to_list() == [0.2, 0.2]


def test_a_replicate_no_better_than_the_trivial_normalises_nothing() -> None:
    found = normalised(table(majority=0.2, knn=0.5, replicate=0.2), trivial="majority", replicate="replicate")
    assert found["normalised"].null_count() == 3


def test_a_replicate_worse_than_the_trivial_normalises_nothing_whatever_is_better() -> None:
    values = {"no-change": 0.2, "knn": 0.1, "replicate": 0.3}
    for name, is_error in (("change_mse", True), ("accuracy", False)):
        found = rows([Score("zero-shot", method, name, value, 10) for method, value in values.items()], FACTS)
        nulls = normalised(found, trivial="no-change", replicate="replicate")["normalised"].null_count()
        assert nulls == (3 if is_error else 0)


def test_results_come_back_from_a_file(tmp_path: Path) -> None:
    written = table(majority=0.2, knn=0.5)
    write_results(written, tmp_path / "a.parquet")
    assert read_results([tmp_path / "a.parquet"]).equals(written)
    assert pl.read_parquet(tmp_path / "a.parquet").equals(written)


def test_results_of_another_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_results(table(knn=0.5), path)
    held = pq.read_table(path)
    metadata = {**held.schema.metadata, b"curate.results": b"7"}
    pq.write_table(held.replace_schema_metadata(metadata), path)
    with pytest.raises(EvaluationError, match="results of format 7, this curate reads 1; evaluate again"):
        read_results([path])


def test_any_other_parquet_is_no_results(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(EvaluationError, match="holds no results of curate"):
        read_results([tmp_path / "a.parquet"])


def test_a_file_cut_short_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_results(table(knn=0.5), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EvaluationError, match="cannot be read as results") as caught:
        read_results([path])
    assert "\n" not in str(caught.value)


def test_an_unknown_metric_is_told_with_the_nearest() -> None:
    with pytest.raises(EvaluationError, match=r"no metric named 'acuracy'.*accuracy"):
        metric("acuracy")


def test_notices_lie_beside_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_results(table(knn=0.5), path, notices=["3 cells left out", "ü"])
    assert read_notices(path) == ["3 cells left out", "ü"]
    write_results(table(knn=0.5), path)
    assert read_notices(path) == []

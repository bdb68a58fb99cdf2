"""Integration: controls, parts, what is refused, and what is said to be left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from curate.errors import EvaluationError
from curate.evaluate.evaluate import evaluate as evaluated
from curate.evaluate.metrics.integration import BATCH, BIO
from curate.evaluate.metrics.legacy_integration import LEGACY
from curate.evaluate.subject import baselines as representations
from curate.evaluate.tasks.integrate import (
    INTEGRATE,
    REPLICATE,
    TRIVIAL,
    IntegrateSettings,
    check_vectors,
    evaluate,
)

if TYPE_CHECKING:
    from curate.evaluate.data import EvaluationData
    from curate.evaluate.results import Score
    from curate.evaluate.subject import Subject

SETTINGS = IntegrateSettings(n_neighbors=20)


@dataclass(eq=False)
class Given:
    """A representation whose vectors are given."""

    vectors: np.ndarray
    name: str = "given"

    def embed(self, data: EvaluationData) -> np.ndarray:
        del data
        return self.vectors


@pytest.fixture
def batched(cells: EvaluationData) -> EvaluationData:
    """`cells` in batches of 72 and 48; in the second, genes 30 to 39 have twenty times the counts."""
    second = np.arange(cells.n_cells) % 5 < 2
    counts = cells.counts.toarray()
    counts[second, 30:] *= 20
    other = cells.take(np.arange(cells.n_cells))
    other.counts = csr_array(counts)
    other.obs = other.obs.with_columns(pl.Series("batch", np.where(second, "b2", "b1")))
    return other


def of(found: list[Score], metric: str, part: str = "") -> float:
    [value] = [each.value for each in found if (each.metric, each.part) == (metric, part)]
    return value


def subject(vectors: np.ndarray) -> Subject:
    return Given(vectors)  # type: ignore[return-value]


def test_all_metrics_and_their_means_are_given_each_once(batched: EvaluationData) -> None:
    found = evaluate(representations()[1], batched, SETTINGS, seed=0)
    whole = [each.metric for each in found if not each.part]
    assert sorted(whole) == sorted([*BIO, *BATCH, "bio_conservation", "batch_correction", "integration"])
    assert {each.n_cells for each in found if not each.part} == {120}
    assert of(found, "bio_conservation") == pytest.approx(np.mean([of(found, name) for name in BIO]))
    assert batched.notices == []


def test_scores_are_normalised_between_batches_alone_and_types_alone(batched: EvaluationData) -> None:
    table = evaluated("integrate", representations(), batched, SETTINGS)
    whole = table.filter(pl.col("part") == "")
    by_method = {
        method: dict(whole.filter(pl.col("method") == method).select("metric", "normalised").iter_rows())
        for method in (TRIVIAL, REPLICATE)
    }
    assert set(by_method[TRIVIAL].values()) <= {0.0, -0.0, None}
    assert by_method[REPLICATE]["integration"] == 1
    pca = dict(whole.filter(pl.col("model") == "pca").select("metric", "normalised").iter_rows())
    # The controls are its points: it keeps what they keep, and mixes less.
    assert pca["silhouette_label"] == pytest.approx(1)
    assert 0 < pca["integration"] < 1


def test_types_alone_integrate_best_and_batches_alone_worst(batched: EvaluationData) -> None:
    rng = np.random.default_rng(0)
    kind, batch = np.arange(120) % 3, (np.arange(120) % 5 < 2).astype(int)
    noise = rng.normal(size=(120, 5))
    types = noise + 8 * np.eye(5)[kind]
    batches = noise + 8 * np.eye(5)[batch + 3]
    ideal, worst = (evaluate(subject(each), batched, SETTINGS, seed=0) for each in (types, batches))
    for name in (*BIO, *BATCH):
        assert of(ideal, name) > of(worst, name), name
    assert of(ideal, "integration") > 0.75
    assert of(worst, "integration") < 0.45


def test_each_label_has_its_scores(batched: EvaluationData) -> None:
    found = evaluate(representations()[0], batched, SETTINGS, seed=0)
    parts = {each.part for each in found if each.metric == "graph_connectivity"}
    assert parts == {"", "cell_type=B cell", "cell_type=natural killer cell", "cell_type=monocyte"}
    means = [each.value for each in found if each.metric == "bras" and each.part]
    assert of(found, "bras") == pytest.approx(np.mean(means))
    assert {each.n_cells for each in found if each.part} == {40}


def test_the_set_of_the_study_is_given_where_it_is_asked_for(batched: EvaluationData) -> None:
    asked = INTEGRATE.with_changes({"legacy": "yes", "n_neighbors": "20"})
    found = evaluate(representations()[1], batched, asked, seed=0)  # type: ignore[arg-type]
    assert {each.metric for each in found if each.metric.startswith("legacy:")} == set(LEGACY)
    assert of(found, "legacy:asw_label") == of(found, "silhouette_label")


def test_few_cells_are_drawn_and_their_number_is_recorded(batched: EvaluationData) -> None:
    asked = IntegrateSettings(n_neighbors=20, max_cells=60)
    found = evaluate(representations()[1], batched, asked, seed=1)
    assert {each.n_cells for each in found if not each.part} == {60}
    assert batched.notices == ["60 of 120 cells drawn at random, seed 1"]
    again = evaluate(representations()[1], batched, asked, seed=1)
    other = evaluate(representations()[1], batched, asked, seed=2)
    assert again == found
    assert other != found


def test_metrics_that_the_batches_do_not_define_are_left_out_with_a_notice(batched: EvaluationData) -> None:
    # Each type in a batch of its own.
    batched.obs = batched.obs.with_columns(pl.col("cell_type").alias("batch"))
    found = evaluate(representations()[1], batched, SETTINGS, seed=0)
    assert not {"bras", "kbet", "batch_correction", "integration"} & {each.metric for each in found}
    assert of(found, "bio_conservation") > 0
    assert batched.notices == ["not defined on these batches and labels, and left out: bras, kbet"]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("batch", ["b1"] * 120, r"one batch only \(b1\) in batch among 120 cells"),
        ("cell_type", ["B cell"] * 120, r"one label only \(B cell\) in cell_type among 120 cells"),
        ("batch", ["b1"] * 119 + ["b2"], r"one batch only \(b1\) in batch among 119 cells"),
        ("cell_type", ["B cell", "monocyte"] * 10 + ["unknown"] * 100, "20 cells for 20 neighbours"),
    ],
)
def test_data_without_batches_or_labels_are_refused(
    batched: EvaluationData, column: str, values: list[str], message: str
) -> None:
    batched.obs = batched.obs.with_columns(pl.Series(column, values))
    with pytest.raises(EvaluationError, match=message):
        evaluate(representations()[1], batched, SETTINGS, seed=0)


def test_a_column_that_is_not_there_is_named(cells: EvaluationData) -> None:
    with pytest.raises(EvaluationError, match="no obs column 'batch' for batches"):
        evaluate(representations()[1], cells, SETTINGS, seed=0)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((4, 2)), "m gives all 4 cells the same vector: it has collapsed"),
        (np.array([[0.0], [np.nan], [np.inf]]), "m gives 2 of 3 cells vectors that are not finite"),
    ],
)
def test_vectors_that_say_nothing_are_refused(vectors: np.ndarray, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        check_vectors(vectors, of="m")

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from curate.build.strategies import leverage as module
from curate.build.strategies.leverage import LEVERAGE, leverage, prepare
from curate.build.strategies.leverage_scores import leverage_scores
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.selection import Selection

N_CELLS = 900


def points() -> NDArray[np.float32]:
    """Cells about a centre, and 30 in a direction of their own."""
    rng = np.random.default_rng(4)
    embedding = rng.normal(size=(N_CELLS, 5))
    embedding[:, 4] *= 0.01
    embedding[:30, 4] += 1
    embedding += np.array([3, 0, 0, -2, 0])
    return np.asarray(embedding, dtype=np.float32)


def keys(seed: int = 0) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, N_CELLS, dtype=np.uint64)


def chosen(
    embedding: NDArray[np.float32] | None,
    n: int = 60,
    *,
    own: NDArray[np.uint64] | None = None,
    **parameters: Any,
) -> Selection:
    own = keys() if own is None else own
    return leverage(pl.DataFrame(), embedding, n, keys=own, rng=np.random.default_rng(0), **parameters)


def test_cells_are_chosen_as_often_as_their_scores_say() -> None:
    scores = leverage_scores(points()).astype(np.float64)
    times = np.zeros(N_CELLS)
    for seed in range(3_000):
        times[chosen(points(), 9, own=keys(seed), scores=lambda: scores.astype(np.float32)).rows] += 1
    groups = np.digitize(scores, np.quantile(scores, [0.25, 0.5, 0.75, 0.95]))
    expected = np.bincount(groups, scores / scores.sum() * 9 * 3_000)
    np.testing.assert_allclose(np.bincount(groups, times), expected, rtol=0.05)


def test_a_small_group_in_a_direction_of_its_own_comes_more_often() -> None:
    assert (chosen(points()).rows < 30).mean() > 4 * 30 / N_CELLS


@pytest.mark.parametrize("projection", ["exact", "clarkson-woodruff"])
def test_weighted_means_of_the_chosen_are_those_of_all(projection: str) -> None:
    embedding, means = points(), []
    for seed in range(300):
        selection = chosen(embedding, 90, own=keys(seed), projection=projection, sketch_size=60)
        assert selection.weights is not None
        means.append((selection.weights[:, None] * embedding[selection.rows]).sum(axis=0) / N_CELLS)
    error = np.std(means, axis=0) / np.sqrt(len(means))
    assert (np.abs(np.mean(means, axis=0) - embedding.mean(axis=0)) < 4 * error).all()


def test_about_the_mean_no_weight_is_beyond_the_dimensions_times_the_mean_one() -> None:
    weights = chosen(points()).weights
    assert weights is not None
    assert weights.max() < 1.1 * (5 + 1) * N_CELLS / 60


def test_the_order_of_the_cells_does_not_matter() -> None:
    order = np.random.default_rng(2).permutation(N_CELLS)
    for projection in ("exact", "clarkson-woodruff"):
        there = chosen(points()[order], own=keys()[order], projection=projection, sketch_size=80)
        here = chosen(points(), projection=projection, sketch_size=80)
        np.testing.assert_array_equal(np.sort(order[there.rows]), here.rows)


def test_what_is_prepared_changes_nothing_and_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def counted(embedding: NDArray[np.float32], *, center: bool) -> NDArray[np.float32]:
        calls.append(center)
        return leverage_scores(embedding, center=center)

    apart = [chosen(points(), n).rows for n in (20, 60)]
    monkeypatch.setattr(module, "leverage_scores", counted)
    shared = prepare(points(), **LEVERAGE.resolve({}))
    assert calls == []
    for n, rows in zip((20, 60), apart, strict=True):
        np.testing.assert_array_equal(chosen(points(), n, **shared).rows, rows)
    assert calls == [True]


def test_a_projection_of_few_cells_is_exact_and_says_so() -> None:
    projected = chosen(points(), projection="clarkson-woodruff")
    np.testing.assert_array_equal(projected.rows, chosen(points()).rows)
    assert projected.notes["n_sketch_rows"] == "none: too few cells, scores are exact"
    assert chosen(points(), projection="clarkson-woodruff", sketch_size=300).notes["n_sketch_rows"] == 300


def test_notes_say_what_the_scores_are_like() -> None:
    notes = chosen(points()).notes
    assert notes["sum_of_scores"] == pytest.approx(6, rel=1e-5)
    assert 1 < float(notes["effective_size"]) < 60
    assert float(notes["largest_score_over_mean"]) > 3


def test_all_cells_have_weight_one() -> None:
    selection = chosen(points(), N_CELLS)
    np.testing.assert_array_equal(selection.rows, np.arange(N_CELLS))
    np.testing.assert_array_equal(selection.weights, np.ones(N_CELLS))


def test_all_but_one_can_be_chosen() -> None:
    embedding = points()
    embedding[3] = 0
    assert chosen(embedding, N_CELLS - 1, center=False).rows.size == N_CELLS - 1


def test_an_embedding_is_needed_and_of_these_cells() -> None:
    with pytest.raises(SelectionError, match="leverage needs an embedding"):
        chosen(None)
    with pytest.raises(SelectionError, match=r"shape \(7, 5\) for 900 cells"):
        chosen(points()[:7])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("projection", "exakt", "did you mean 'exact'"),
        ("sketch_size", 0, "sketch_size=0 must be a whole number from 1; 5,000 is usual"),
        ("center", "maybe", "center=maybe is neither yes nor no"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        LEVERAGE.resolve({name: value})

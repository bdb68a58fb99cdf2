from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import geosketch
import numpy as np
import polars as pl
import pytest
from scipy.stats import chisquare

from curate.build.covering.covering import cover
from curate.build.strategies.sketch import (
    SKETCH,
    Engine,
    covering_size,
    parse_k,
    prepare,
    sketch,
)
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.build.selection import Selection


def points(n_cells: int = 600) -> NDArray[np.float32]:
    """A dense cloud of 90 % of the cells, and a wide one."""
    rng = np.random.default_rng(5)
    spread = np.where(np.arange(n_cells) < 0.9 * n_cells, 0.05, 3.0)
    return (rng.normal(size=(n_cells, 3)) * spread[:, None]).astype(np.float32)


def chosen(embedding: NDArray[np.float32] | None, n: int, *, seed: int = 0, **parameters: Any) -> Selection:
    n_cells = 600 if embedding is None else embedding.shape[0]
    keys = np.random.default_rng(1).integers(0, 2**64, n_cells, dtype=np.uint64)
    return sketch(pl.DataFrame(), embedding, n, keys=keys, rng=np.random.default_rng(seed), **parameters)


def test_the_other_engine_is_geosketch_with_a_seed_from_the_generator() -> None:
    seed = int(np.random.default_rng(3).integers(2**32))
    state = np.random.get_state()  # noqa: NPY002
    expected = geosketch.gs(points(), 80, k=60, alpha=0.2, seed=seed, replace=False)
    np.random.set_state(state)  # noqa: NPY002
    selection = chosen(points(), 80, seed=3, k=60, alpha=0.2, engine="geosketch")
    assert selection.rows.tolist() == expected
    assert selection.notes == {"k": 60}


@pytest.mark.parametrize("n", [20, 60, 150])
def test_both_engines_draw_every_box_equally_often(n: int) -> None:
    boxes = cover(points(), 60)
    drawn = [boxes.boxes[chosen(points(), n, k=60, engine=engine).rows] for engine in get_args(Engine)]
    ours, theirs = (np.sort(np.bincount(each, minlength=boxes.n_boxes)) for each in drawn)
    np.testing.assert_array_equal(ours, theirs)


def test_the_order_of_the_cells_does_not_matter() -> None:
    order = np.random.default_rng(2).permutation(600)
    keys = np.random.default_rng(1).integers(0, 2**64, 600, dtype=np.uint64)
    rng = np.random.default_rng(0)
    shuffled = sketch(pl.DataFrame(), points()[order], 150, keys=keys[order], rng=rng, k=60).rows
    np.testing.assert_array_equal(np.sort(order[shuffled]), chosen(points(), 150, k=60).rows)


def test_the_notes_say_how_the_cells_were_covered() -> None:
    with_constant = np.column_stack([points(), np.full(600, 2.5)]).astype(np.float32)
    boxes = cover(points(), 60)
    notes: dict[str, float] = {"k": 60, "n_boxes": boxes.n_boxes, "unit": boxes.unit}
    assert chosen(points(), 80, k=60).notes == notes
    assert chosen(with_constant, 80, k=60).notes == notes | {"n_constant_dimensions": 1}


@pytest.mark.parametrize("engine", get_args(Engine))
def test_with_replacement_cells_are_weighted_by_how_often_they_were_drawn(engine: Engine) -> None:
    selection = chosen(points(), 300, k=60, replace=True, engine=engine)
    assert selection.weights is not None
    assert selection.weights.sum() == selection.notes["n_draws"] == 300
    assert selection.weights.max() > 1
    assert (np.diff(selection.rows) > 0).all()
    boxes = cover(points(), 60)
    per_box = np.bincount(boxes.boxes[selection.rows], weights=selection.weights, minlength=boxes.n_boxes)
    assert per_box.min() >= 300 // boxes.n_boxes
    assert per_box.max() <= 300 // boxes.n_boxes + 1


def test_what_prepare_returns_is_used_and_changes_nothing() -> None:
    alone = chosen(points(), 80, k=60)
    shared = prepare(points(), k=60, replace=False, engine="curate")
    together = chosen(points(), 80, k=60, **shared)
    np.testing.assert_array_equal(together.rows, alone.rows)
    assert together.notes == alone.notes
    assert shared["covering"]() is shared["covering"]()
    other = prepare(points(), k=5)
    assert chosen(points(), 80, k=60, **other).notes["n_boxes"] == other["covering"]().n_boxes


def test_sparse_regions_are_drawn_more_than_their_share() -> None:
    rows = chosen(points(), 60).rows
    assert (rows >= 540).sum() > 30


def test_boxes_are_drawn_alike_and_cells_alike_within_a_box() -> None:
    # Two boxes, of 1 cell and of 4.
    embedding = np.array([[0, 0], [9, 9], [9, 9], [9, 9], [9, 9]], dtype=np.float32)
    for engine in get_args(Engine):
        drawn = np.zeros(5)
        for seed in range(800):
            keys = np.random.default_rng(seed).integers(0, 2**64, 5, dtype=np.uint64)
            rng = np.random.default_rng(seed)
            drawn[sketch(pl.DataFrame(), embedding, 1, keys=keys, rng=rng, k=2, engine=engine).rows] += 1
        assert chisquare(drawn, np.array([0.5, 0.125, 0.125, 0.125, 0.125]) * 800).pvalue > 1e-3


def test_a_constant_dimension_is_harmless() -> None:
    with_constant = np.column_stack([points(), np.full(600, 2.5)]).astype(np.float32)
    rows = chosen(with_constant, 60).rows
    assert rows.size == np.unique(rows).size == 60
    assert (rows >= 540).sum() > 30


@pytest.mark.parametrize("engine", get_args(Engine))
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_place(value: float, engine: Engine) -> None:
    embedding = points()
    embedding[417, 2] = value
    with pytest.raises(SelectionError, match=rf"holds {value} at row 417, dimension 2; sketch needs finite"):
        chosen(embedding, 10, engine=engine)


def test_an_embedding_of_one_point_is_refused() -> None:
    with pytest.raises(SelectionError, match="all 20 cells lie at one point"):
        chosen(np.full((20, 3), 1.5, dtype=np.float32), 5)


def test_without_an_embedding_the_command_that_makes_one_is_named() -> None:
    with pytest.raises(SelectionError, match="make one with `curate embed`"):
        chosen(None, 10)


def test_an_embedding_of_another_length_is_refused() -> None:
    keys = np.zeros(599, dtype=np.uint64)
    with pytest.raises(SelectionError, match=r"shape \(600, 3\) for 599 cells"):
        sketch(pl.DataFrame(), points(), 10, keys=keys, rng=np.random.default_rng(0))


@pytest.mark.parametrize("returned", [[5, 3, 3, 9], list(range(40)), []], ids=["too few", "too many", "none"])
def test_what_geosketch_returns_is_made_exactly_n_by_the_keys(
    monkeypatch: pytest.MonkeyPatch, returned: list[int]
) -> None:
    monkeypatch.setattr(geosketch, "gs", lambda *_, **__: returned)
    keys = np.random.default_rng(1).permutation(600).astype(np.uint64)
    rng = np.random.default_rng(0)
    rows = sketch(pl.DataFrame(), points(), 10, keys=keys, rng=rng, engine="geosketch").rows
    assert rows.size == np.unique(rows).size == 10
    smallest = set(np.argsort(keys)[:13].tolist())
    assert set(rows.tolist()) <= (set(returned) if len(returned) > 10 else smallest | set(returned))
    assert len(returned) > 10 or set(returned) <= set(rows.tolist())


def test_numpys_global_state_is_restored_even_on_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, seed: int, **__: object) -> list[int]:
        np.random.seed(seed)  # noqa: NPY002
        raise ValueError("broken")

    monkeypatch.setattr(geosketch, "gs", failing)
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    with pytest.raises(ValueError, match="broken"):
        chosen(points(), 10, engine="geosketch")
    np.testing.assert_equal(np.random.get_state(legacy=False), before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("k", "n_cells", "boxes"),
    [
        ("auto", 22_189_056, 221_890),
        ("auto", 50, 7),
        ("auto", 1, 1),
        (40, 50, 40),
        ("40", 50, 40),
        (0.5, 51, 25),
    ],
)
def test_the_number_of_boxes(k: int | float | str, n_cells: int, boxes: int) -> None:
    assert covering_size(k, n_cells) == boxes


@pytest.mark.parametrize(("k", "message"), [(51, "50 cells with 51 boxes"), (0.01, "50 cells with 0 boxes")])
def test_more_boxes_than_cells_or_none_are_refused(k: float, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        covering_size(k, 50)


@pytest.mark.parametrize("k", [0, -1, 2.5, "many", None, float("nan"), float("inf")])
def test_a_k_that_means_nothing_is_refused(k: object) -> None:
    with pytest.raises(SelectionError, match="neither auto, nor a number of boxes, nor a fraction"):
        parse_k(k)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, "x", float("nan")])
def test_an_alpha_outside_its_range_is_refused(alpha: object) -> None:
    with pytest.raises(SelectionError, match="must lie between 0 and 1"):
        SKETCH.resolve({"alpha": alpha})


@pytest.mark.parametrize("max_iter", [0, 1.5, "x", None, float("inf")])
def test_a_max_iter_that_is_not_a_whole_number_is_refused(max_iter: object) -> None:
    with pytest.raises(SelectionError, match="must be a whole number from 1"):
        SKETCH.resolve({"max_iter": max_iter})


@pytest.mark.parametrize(("value", "expected"), [("yes", True), ("no", False), (True, True), (False, False)])
def test_replace_is_read_from_text_and_from_python(value: object, expected: bool) -> None:
    assert SKETCH.resolve({"replace": value})["replace"] is expected


def test_a_replace_or_an_engine_that_there_is_not_is_refused() -> None:
    with pytest.raises(SelectionError, match="replace=maybe is neither yes nor no"):
        SKETCH.resolve({"replace": "maybe"})
    with pytest.raises(SelectionError, match="no engine named 'fast'; there are: curate, geosketch"):
        SKETCH.resolve({"engine": "fast"})

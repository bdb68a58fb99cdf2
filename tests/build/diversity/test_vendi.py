"""Vendi score: beside the n by n kernel written out, and what has to hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.build.diversity.vendi import Spectrum, blocks_of, spectrum, vendi_score
from curate.errors import EmbeddingError


def dense_score(rows: NDArray[np.floating], order: float = 1.0) -> float:
    """Write the kernel of all pairs out, as the paper defines it."""
    unit = rows / np.linalg.norm(rows, axis=1)[:, None]
    shares = np.linalg.eigvalsh(unit @ unit.T / len(unit))
    shares = shares[shares > 1e-12]
    if order == 1:
        return float(np.exp(-(shares * np.log(shares)).sum()))
    if order == float("inf"):
        return float(1 / shares.max())
    return float((shares**order).sum() ** (1 / (1 - order)))


def score(rows: NDArray[np.floating], order: float = 1.0, *, block: int = 7) -> float:
    return vendi_score(spectrum(blocks_of(rows.astype(np.float32), None, block_cells=block)), order=order)


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0, float("inf")])
def test_it_is_the_score_of_all_pairs_written_out(order: float) -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(120, 9)) * np.arange(1, 10) + 2).astype(np.float32)
    assert score(rows, order) == pytest.approx(dense_score(rows.astype(np.float64), order), rel=1e-9)


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_it_is_the_score_of_the_authors_package(order: float) -> None:
    from vendi_score import vendi

    rows = (np.random.default_rng(5).normal(size=(150, 7)) * np.arange(1, 8)).astype(np.float32)
    theirs = vendi.score_dual(rows.astype(np.float64), q=order, normalize=True)
    assert score(rows, order) == pytest.approx(theirs, rel=1e-9)


def test_a_case_computed_by_hand() -> None:
    # Shares 3/4 and 1/4: exp(entropy) = 4 / 3^(3/4).
    assert score(np.array([[1, 0], [2, 0], [5, 0], [0, 3]])) == pytest.approx(4 / 3**0.75)


def test_orthonormal_cells_are_as_many_as_they_are() -> None:
    assert score(np.eye(12)) == pytest.approx(12)


def test_cells_that_all_point_the_same_way_count_as_one() -> None:
    assert score(np.array([[1.0, 2.0, 3.0]] * 20) * np.arange(1, 21)[:, None]) == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 40), d=st.integers(1, 6), times=st.integers(2, 4))
def test_copies_of_the_whole_set_change_nothing(seed: int, n: int, d: int, times: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    once = score(rows)
    assert score(np.tile(rows, (times, 1))) == pytest.approx(once, rel=1e-6)
    assert 1 - 1e-9 <= once <= min(n, d) + 1e-9


def test_a_rotation_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(60, 5)) * [5, 3, 1, 1, 0.2]
    turned = rows @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert score(turned) == pytest.approx(score(rows), rel=1e-5)


def test_higher_orders_give_less_to_rare_directions() -> None:
    rows = np.random.default_rng(2).normal(size=(80, 6)) * [9, 3, 2, 1, 1, 0.5]
    scores = [score(rows, order) for order in (0, 0.5, 1, 2, 8, float("inf"))]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 6


def test_threads_change_no_bit_and_blocks_only_the_rounding() -> None:
    rows = np.random.default_rng(3).normal(size=(500, 8)).astype(np.float32)
    found = [spectrum(blocks_of(rows, None, block_cells=64), n_threads=n).eigenvalues for n in (1, 2, 5)]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    whole = spectrum(blocks_of(rows, None, block_cells=500)).eigenvalues
    np.testing.assert_allclose(whole, found[0], rtol=1e-12)


def test_only_the_rows_that_are_named_count() -> None:
    rows = np.random.default_rng(4).normal(size=(50, 4)).astype(np.float32)
    chosen = np.array([0, 7, 8, 30, 49])
    found = spectrum(blocks_of(rows, chosen, block_cells=2))
    assert found.n_cells == 5
    assert vendi_score(found) == pytest.approx(dense_score(rows[chosen].astype(np.float64)), rel=1e-6)


def test_zero_vectors_are_left_out_and_counted() -> None:
    rows = np.array([[1, 0], [0, 0], [0, 1], [0, 0]], dtype=np.float32)
    found = spectrum([rows])
    assert (found.n_cells, found.n_without_direction) == (2, 2)
    assert vendi_score(found) == pytest.approx(2)


def test_progress_is_told_in_rows() -> None:
    told: list[int] = []
    spectrum(blocks_of(np.ones((10, 2), np.float32), None, block_cells=4), advance=told.append)
    assert told == [4, 4, 2]


@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(strange: float) -> None:
    rows = np.ones((5, 3), dtype=np.float32)
    rows[[1, 3], 2] = strange
    with pytest.raises(EmbeddingError, match="2 of 5 cells of a block have a value that is not finite"):
        spectrum([rows])


def test_cells_without_any_direction_have_no_score() -> None:
    with pytest.raises(EmbeddingError, match="none of 3 cells has a direction"):
        spectrum([np.zeros((3, 2), dtype=np.float32)])


def test_a_negative_order_is_refused() -> None:
    with pytest.raises(ValueError, match=r"order -1\.0"):
        vendi_score(Spectrum(np.array([1.0]), 1), order=-1.0)

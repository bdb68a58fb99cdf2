from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from curate.build.strategies.leverage_scores import jl_dimensions, leverage_scores, sketch_rows
from curate.errors import SelectionError

Floats = NDArray[np.float64]


def points(n_cells: int = 700, n_dims: int = 6, *, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_t(4, size=(n_cells, n_dims)) @ rng.normal(size=(n_dims, n_dims))
    return (mixed + 2).astype(np.float32)


def keys(n: int, *, seed: int = 1) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def by_svd(embedding: NDArray[np.float32], *, center: bool) -> Floats:
    """The definition: squared row lengths of the left singular vectors of what varies."""
    design = embedding.astype(np.float64)
    if center:
        design = np.column_stack([np.ones(len(design)), design - design.mean(axis=0)])
    design = design / np.maximum(np.sqrt((design**2).sum(axis=0)), 1e-30)
    left, values, _ = np.linalg.svd(design, full_matrices=False)
    return np.asarray((left[:, values > 1e-5 * values[0]] ** 2).sum(axis=1))


def as_seurat(design: Floats, *, n_sketch: int, seed: int) -> Floats:
    """The published recipe: CountSketch, QR, the inverse of R, a very sparse projection, row sums."""
    rng = np.random.default_rng(seed)
    n_cells, n_dims = design.shape
    sketch = np.zeros((n_sketch, n_dims))
    np.add.at(sketch, rng.integers(n_sketch, size=n_cells), design * rng.choice([-1, 1], n_cells)[:, None])
    n_kept = math.floor(4 * math.log(n_cells) / (0.5**2 / 2 - 0.5**3 / 3))
    s = math.ceil(math.sqrt(n_kept))
    chances = [1 / (2 * s), 1 - 1 / s, 1 / (2 * s)]
    signs = rng.choice([-1, 0, 1], size=(n_dims, n_kept), p=chances)
    projected = design @ (np.linalg.inv(np.linalg.qr(sketch)[1]) @ signs)
    return np.asarray((projected**2).sum(axis=1))


@pytest.mark.parametrize("center", [True, False], ids=["about the mean", "about the origin"])
def test_scores_are_those_of_the_definition(center: bool) -> None:
    scores = leverage_scores(points(), center=center)
    np.testing.assert_allclose(scores, by_svd(points(), center=center), rtol=1e-6)
    assert scores.sum(dtype=np.float64) == pytest.approx(6 + center, rel=1e-6)


def test_scores_of_three_cells_on_a_line_are_those_computed_by_hand() -> None:
    line = np.array([[0.0], [1.0], [5.0]], dtype=np.float32)
    # 1/3 + (x - 2)² / 14, and x² / 26.
    np.testing.assert_allclose(leverage_scores(line), [13 / 21, 17 / 42, 41 / 42], rtol=1e-6)
    np.testing.assert_allclose(leverage_scores(line, center=False)[1:], [1 / 26, 25 / 26], rtol=1e-6)


def test_a_centered_score_is_the_mahalanobis_distance_and_one_over_n() -> None:
    off = points().astype(np.float64) - points().mean(axis=0, dtype=np.float64)
    squared = (off @ np.linalg.inv(np.cov(off.T)) * off).sum(axis=1)
    np.testing.assert_allclose(leverage_scores(points()), 1 / 700 + squared / 699, rtol=1e-5)


@pytest.mark.parametrize("center", [True, False], ids=["about the mean", "about the origin"])
def test_constant_and_collinear_dimensions_add_nothing(center: bool) -> None:
    base = points()
    zeros = np.zeros((700, 1), dtype=np.float32)
    # A sum of two, rounded to float32, and a copy.
    more = np.column_stack([base, base[:, 0] + base[:, 1], base[:, 2], zeros])
    np.testing.assert_allclose(
        leverage_scores(more, center=center), leverage_scores(base, center=center), rtol=1e-4
    )
    if center:
        seven = np.column_stack([base, np.full(700, 7.7, dtype=np.float32)])
        np.testing.assert_allclose(leverage_scores(seven), leverage_scores(base), rtol=1e-6)


def test_the_scale_of_a_dimension_does_not_matter() -> None:
    scales = 10.0 ** np.array([-12, -6, 0, 6, 12, 18])
    scaled = (points().astype(np.float64) * scales).astype(np.float32)
    np.testing.assert_allclose(leverage_scores(scaled), leverage_scores(points()), rtol=1e-4)


def test_centered_scores_do_not_depend_on_the_origin_and_others_do() -> None:
    moved = points() + np.float32(1000)
    np.testing.assert_allclose(leverage_scores(moved), leverage_scores(points()), rtol=5e-3)
    at_mean = points() - points().mean(axis=0)
    here, there = (leverage_scores(each, center=False) for each in (points(), at_mean))
    assert not np.allclose(here, there, rtol=0.1)


def test_a_cell_alone_in_its_direction_has_a_score_of_one() -> None:
    alone = np.zeros((50, 2), dtype=np.float32)
    alone[:, 0], alone[7, 1] = np.arange(50), 3
    assert leverage_scores(alone)[7] == pytest.approx(1, abs=1e-6)


def test_no_cell_is_without_a_chance() -> None:
    at_origin = points()
    at_origin[5] = 0
    scores = leverage_scores(at_origin, center=False)
    assert scores[5] == pytest.approx(1e-6 * scores.mean(), rel=1e-3)


def test_blocks_and_threads_change_nothing_that_matters() -> None:
    whole = leverage_scores(points())
    parts = leverage_scores(points(), block_cells=64, n_threads=1)
    np.testing.assert_allclose(parts, whole, rtol=1e-6)
    threads = leverage_scores(points(), block_cells=64, n_threads=4)
    np.testing.assert_array_equal(threads, parts)


def test_what_seurat_estimates_are_these_scores_but_for_a_factor() -> None:
    embedding = points(4_000, 40)
    exact = leverage_scores(embedding, center=False)
    seurat = as_seurat(embedding.astype(np.float64), n_sketch=1_000, seed=2)
    ours = leverage_scores(
        embedding, center=False, sketch_size=1_000, keys=keys(4_000), rng=np.random.default_rng(0)
    )
    factor = seurat.sum() / exact.sum()
    for estimate in (seurat / factor, ours):
        assert spearmanr(estimate, exact)[0] > 0.95
        assert np.quantile(np.abs(estimate / exact - 1), 0.95) < 0.35
    # Ours needs no projection at 40 dimensions, and is nearer for it.
    assert np.abs(ours / exact - 1).mean() < np.abs(seurat / factor / exact - 1).mean()


def test_centered_scores_of_components_are_those_of_seurat_on_expression() -> None:
    rng = np.random.default_rng(0)
    programs = np.exp(rng.normal(size=(8, 300)))
    rates = rng.dirichlet(np.full(8, 0.3), size=1_500) @ programs
    logged = np.log1p(rng.poisson(rates * 20 / rates.mean()))
    # Seurat scores log-normalised expression, not centered, by 50 singular vectors: here the 8 that matter.
    left, _, _ = np.linalg.svd(logged, full_matrices=False)
    seurat = (left[:, :8] ** 2).sum(axis=1)
    left, values, _ = np.linalg.svd(logged - logged.mean(axis=0), full_matrices=False)
    components = (left[:, :7] * values[:7]).astype(np.float32)
    off = [np.abs(leverage_scores(components, center=c) / seurat - 1).mean() for c in (True, False)]
    assert off[0] < 0.05
    assert off[0] < off[1] / 3


def test_a_sketch_of_more_dimensions_than_are_needed_is_projected_and_keeps_the_scores() -> None:
    n_cells = 3_000
    kept = jl_dimensions(n_cells)
    rng = np.random.default_rng(0)
    embedding = rng.standard_t(4, size=(n_cells, kept + 100)).astype(np.float32)
    embedding *= np.exp(rng.normal(size=n_cells) / 2)[:, None].astype(np.float32)
    once, again = (
        leverage_scores(embedding, sketch_size=1_500, keys=keys(n_cells), rng=np.random.default_rng(seed))
        for seed in (0, 1)
    )
    assert not np.array_equal(once, again)
    assert np.quantile(np.abs(once / again - 1), 0.95) < 0.5
    assert spearmanr(once, leverage_scores(embedding))[0] > 0.9


def test_the_sketch_goes_by_keys_and_not_by_the_order_of_cells() -> None:
    order = np.random.default_rng(3).permutation(700)
    own = keys(700)
    here, there = (
        leverage_scores(e, center=False, sketch_size=80, keys=k, rng=np.random.default_rng(0))
        for e, k in ((points(), own), (points()[order], own[order]))
    )
    np.testing.assert_allclose(there, here[order], rtol=1e-5)
    other = leverage_scores(points(), sketch_size=80, keys=keys(700, seed=2), rng=np.random.default_rng(0))
    assert not np.allclose(other, here, rtol=1e-2)


def test_the_error_of_sketches_shrinks_with_their_size() -> None:
    embedding = points(20_000, 10)
    exact = leverage_scores(embedding)
    off = []
    for n_rows in (50, 500, 5_000):
        scores = leverage_scores(
            embedding, sketch_size=n_rows, keys=keys(20_000), rng=np.random.default_rng(0)
        )
        off.append(float(np.abs(scores / exact - 1).mean()))
    assert off[0] > 2 * off[1] > 4 * off[2]


def test_sketches_have_as_many_rows_as_in_seurat() -> None:
    assert sketch_rows(5_000, 10_000, 50) == 5_000
    assert sketch_rows(5_000, 7_499, 50) is None
    assert sketch_rows(100, 10_000, 999) == 1_100


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    embedding = points()
    embedding[40, 2] = value
    with pytest.raises(SelectionError, match=f"holds {value} at row 40, dimension 2"):
        leverage_scores(embedding)


@pytest.mark.parametrize("place", [0.0, 0.1, 1e8])
def test_cells_at_one_point_are_refused(place: float) -> None:
    with pytest.raises(SelectionError, match="all 90 cells lie at one point"):
        leverage_scores(np.full((90, 3), place, dtype=np.float32))

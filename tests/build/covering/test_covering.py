"""The plaid covering, beside geosketch's own and one by dictionaries."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import svds

from curate.build.covering import cuts as covering_cuts
from curate.build.covering import plan as covering_plan
from curate.build.covering.covering import Covering, cover, partition
from curate.build.covering.cuts import Dimensions
from curate.errors import SelectionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARED = Path(os.environ.get("CURATE_SHARED", "../shared")) / "data"
VALUES = st.sampled_from([-3.0, -0.0, 0.0, 1e-7, 0.1, 0.2, 0.3, 1.0, 1.0000001, 7.5])
geosketch = importlib.import_module("geosketch.sketch")


def simulated(kind: str, n_cells: int, n_dims: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([n_cells, n_dims])
    points = rng.normal(size=(n_cells, n_dims)) * np.exp(rng.normal(size=n_dims))
    if kind == "clusters":
        points += 3 * rng.normal(size=(7, n_dims))[np.minimum(rng.geometric(0.4, n_cells) - 1, 6)]
    elif kind == "ties":
        points = np.round(points * 2) / 2
    elif kind == "tails":
        points = points**3
    elif kind == "constant":
        points[:, n_dims // 2] = 1.5
    return points.astype(np.float32)


def geosketchs(
    points: NDArray[np.float32], k: int, n_boxes: int, monkeypatch: pytest.MonkeyPatch, **parameters: Any
) -> tuple[NDArray[np.int32], float, int]:
    """Return geosketch's boxes, numbered as ours, its side length, and how many it tried.

    With replacement it draws from every box once before it draws from one twice, and asks numpy for one of
    the members.
    """
    boxes: list[list[int]] = []
    units, n_tried = [0.25], 0

    def choice(among: int | list[int]) -> int:
        if isinstance(among, int):
            return 0
        boxes.append(among)
        return among[0]

    def log(message: str) -> None:
        nonlocal n_tried
        n_tried += "non-empty" in message
        if "unit to" in message:
            units.append(float(message.split()[-1]))

    monkeypatch.setattr(geosketch.np.random, "choice", choice)
    monkeypatch.setattr(geosketch, "log", log)
    geosketch.gs(points, n_boxes, k=k, replace=True, verbose=1, **parameters)
    numbers = np.full(points.shape[0], -1, dtype=np.int32)
    for number, members in enumerate(sorted(boxes)):
        assert (numbers[members] == -1).all()
        numbers[members] = number
    return numbers, units[n_tried - 1], n_tried


def by_dictionaries(points: NDArray[np.float32], unit: float) -> NDArray[np.int64]:
    """Return the boxes of one side length, numbered by first cell; one cell and dimension at a time."""
    scaled = points - points.min(axis=0)
    scaled /= scaled.max()
    intervals = np.zeros(points.shape, dtype=np.int64)
    for d in range(points.shape[1]):
        number, start = 0, np.float32(0)
        for row in np.argsort(scaled[:, d], kind="stable"):
            if start + np.float32(unit) < scaled[row, d]:
                number, start = number + 1, scaled[row, d]
            intervals[row, d] = number
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(each.tobytes(), len(seen)) for each in intervals])


@pytest.fixture(params=["sorted", "sampled"])
def cuts_from(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Cut by the ascending values of all cells, or by those of one in eight and the cells in doubt."""
    if request.param == "sampled":
        monkeypatch.setattr(covering_cuts, "_FEW_CELLS", 16)
        monkeypatch.setattr(covering_cuts, "_BUCKETS", 32)
    return str(request.param)


@pytest.mark.usefixtures("cuts_from")
@pytest.mark.parametrize("max_iter", [2, 200])
@pytest.mark.parametrize("kind", ["cloud", "clusters", "ties", "tails", "constant"])
@pytest.mark.parametrize(("n_cells", "n_dims", "k"), [(500, 3, 90), (700, 30, 40), (300, 2, 20)])
def test_boxes_and_side_are_those_of_geosketch(
    kind: str, n_cells: int, n_dims: int, k: int, max_iter: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = simulated(kind, n_cells, n_dims)
    ours = cover(points, k, max_iter=max_iter)
    boxes, unit, n_tried = geosketchs(points, k, ours.n_boxes, monkeypatch, max_iter=max_iter)
    np.testing.assert_array_equal(ours.boxes, boxes)
    assert (ours.unit, ours.n_tried) == (unit, n_tried)
    assert ours.n_boxes == boxes.max() + 1
    assert ours.n_constant == (kind == "constant")


@pytest.mark.usefixtures("cuts_from")
@pytest.mark.skipif(not SHARED.is_dir(), reason="example data not here; CURATE_SHARED names its folder")
@pytest.mark.parametrize("k", [26, 264])
def test_boxes_and_side_are_those_of_geosketch_on_blood_cells(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = ad.read_h5ad(SHARED / "pbmc3k_clustifyr.h5ad").X.astype(np.float64)
    counts.data = np.log1p(counts.data)
    u, s, _ = svds(counts, k=12, random_state=np.random.default_rng(0))
    points = (u * s).astype(np.float32)
    ours = cover(points, k)
    boxes, unit, n_tried = geosketchs(points, k, ours.n_boxes, monkeypatch)
    np.testing.assert_array_equal(ours.boxes, boxes)
    assert (ours.unit, ours.n_tried) == (unit, n_tried)
    assert abs(ours.n_boxes - k) <= 0.1 * k


def test_where_no_side_gives_the_number_it_ends_where_geosketch_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Below a side of 1 the ten corners lie in ten boxes, from it on in one.
    points = np.repeat(np.eye(10, dtype=np.float32), 2, axis=0)
    ours = cover(points, 5)
    boxes, unit, _ = geosketchs(points, 5, ours.n_boxes, monkeypatch)
    np.testing.assert_array_equal(ours.boxes, boxes)
    assert ours.unit == unit
    assert ours.n_boxes in (1, 10)
    assert ours.n_tried < 30


@pytest.mark.usefixtures("cuts_from")
@pytest.mark.parametrize("unit", [1.5, 0.3, 0.02, 1e-4, 1e-9, 0.0])
@pytest.mark.parametrize("kind", ["clusters", "ties"])
def test_any_side_partitions_as_by_dictionaries(kind: str, unit: float) -> None:
    # The short ones make thousands of intervals and keys of many words.
    points = simulated(kind, 400, 17)
    np.testing.assert_array_equal(partition(points, unit).boxes, by_dictionaries(points, unit))


@pytest.mark.parametrize("few", [0, 10_000], ids=["searched", "compared"])
def test_searching_for_the_interval_and_comparing_with_all_are_alike(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(covering_plan, "_FEW", few)
    monkeypatch.setattr(covering_cuts, "_FEW_CELLS", 16)
    points = simulated("clusters", 900, 5)
    for unit in (0.4, 0.05, 0.004):
        np.testing.assert_array_equal(partition(points, unit).boxes, by_dictionaries(points, unit))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=60),
    unit=st.sampled_from([0.0, 1e-8, 0.01, 0.0095238095, 0.1, 0.25, 0.5, 0.9]),
    few_cells=st.integers(1, 8),
)
def test_ties_and_borders_fall_as_by_dictionaries(
    values: list[tuple[float, float]], unit: float, few_cells: int
) -> None:
    points = np.array(values, dtype=np.float32)
    if np.ptp(points, axis=0).max() == 0:
        points[0, 0] += 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(covering_cuts, "_FEW_CELLS", few_cells)
        patch.setattr(covering_cuts, "_BUCKETS", 4)
        np.testing.assert_array_equal(partition(points, unit).boxes, by_dictionaries(points, unit))


def test_of_many_cells_few_are_in_doubt_even_beside_outliers(monkeypatch: pytest.MonkeyPatch) -> None:
    points = simulated("clusters", 60_000, 6)
    points[12_345], points[23_456, 2] = points[12_345] * 30, -200
    in_doubt = []

    def recorded(self: Dimensions, windows: Any, rows: NDArray[np.int64], *rest: Any, **named: Any) -> Any:
        in_doubt.append(rows.size)
        return settled(self, windows, rows, *rest, **named)

    settled = Dimensions.settled
    monkeypatch.setattr(Dimensions, "settled", recorded)
    sampled = cover(points, 600)
    assert len(in_doubt) > 1
    assert 0 < max(in_doubt) < 0.01 * 60_000
    monkeypatch.setattr(covering_cuts, "_FEW_CELLS", 60_000)
    by_sorting = cover(points, 600)
    np.testing.assert_array_equal(sampled.boxes, by_sorting.boxes)
    assert sampled.unit == by_sorting.unit


@pytest.mark.parametrize("n_threads", [2, 3, 64])
def test_threads_change_nothing(n_threads: int) -> None:
    points = simulated("clusters", 20_000, 8)
    one, many = (cover(points, 300, n_threads=n) for n in (1, n_threads))
    np.testing.assert_array_equal(one.boxes, many.boxes)
    assert (one.n_boxes, one.unit, one.n_tried) == (many.n_boxes, many.unit, many.n_tried)


@pytest.mark.parametrize("layout", ["memory-mapped", "columns first", "every other row"])
def test_how_the_points_lie_in_memory_changes_nothing(layout: str, tmp_path: Path) -> None:
    points = simulated("clusters", 2_000, 5)
    given_points: NDArray[np.float32]
    if layout == "memory-mapped":
        np.save(tmp_path / "points.npy", points)
        given_points = np.load(tmp_path / "points.npy", mmap_mode="r")
    elif layout == "columns first":
        given_points = np.asfortranarray(points)
    else:
        given_points = np.repeat(points, 2, axis=0)[::2]
    before = points.copy()
    np.testing.assert_array_equal(cover(given_points, 50).boxes, cover(points, 50).boxes)
    np.testing.assert_array_equal(given_points, before)


def test_rows_and_counts_hold_every_cell_once_box_by_box() -> None:
    covering: Covering = cover(simulated("clusters", 3_000, 4), 60)
    np.testing.assert_array_equal(covering.rows, np.argsort(covering.boxes, kind="stable"))
    np.testing.assert_array_equal(covering.counts, np.bincount(covering.boxes))
    np.testing.assert_array_equal(np.diff(covering.starts), covering.counts)


def test_a_range_wider_than_float32_is_refused() -> None:
    points = np.array([[0, -3e38], [1, 3e38]], dtype=np.float32)
    with pytest.raises(
        SelectionError, match=r"dimension 1 of the embedding goes from -3e\+38 to 3e\+38, wider"
    ):
        cover(points, 1)

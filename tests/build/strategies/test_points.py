from __future__ import annotations

import numpy as np
import pytest

from curate.build.strategies import points as module
from curate.build.strategies.points import check_points
from curate.errors import SelectionError


def test_points_are_a_view_that_cannot_be_written() -> None:
    embedding = np.arange(12, dtype=np.float32).reshape(4, 3)
    points = check_points(embedding, 4, needed_by="coreset")
    assert np.shares_memory(points, embedding)
    assert not points.flags.writeable
    assert embedding.flags.writeable


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 3)
    embedding = np.ones((10, 2), dtype=np.float32)
    embedding[7, 1] = value
    with pytest.raises(SelectionError, match=f"holds {value} at row 7, dimension 1; herding needs finite"):
        check_points(embedding, 10, needed_by="herding")


def test_cells_that_are_all_equal_are_refused_and_one_that_differs_is_enough() -> None:
    embedding = np.full((10, 2), 3, dtype=np.float32)
    with pytest.raises(SelectionError, match="all 10 cells lie at one point of the embedding; use random"):
        check_points(embedding, 10, needed_by="coreset")
    embedding[9, 1] = 4
    assert check_points(embedding, 10, needed_by="coreset").shape == (10, 2)


def test_no_embedding_and_one_of_other_cells_are_refused() -> None:
    with pytest.raises(SelectionError, match="coreset needs an embedding"):
        check_points(None, 3, needed_by="coreset")
    for shape in ((2, 5), (3,), (3, 0)):
        with pytest.raises(SelectionError, match=r"shape .* for 3 cells"):
            check_points(np.zeros(shape, dtype=np.float32), 3, needed_by="coreset")

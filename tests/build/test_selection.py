from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.build.selection import check_n
from curate.build.strategies import STRATEGIES
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize("n", [1, 10, np.int64(3)])
def test_a_number_within_the_cells_passes(n: int) -> None:
    check_n(n, 10)


@pytest.mark.parametrize("n", [0, -1, True, 2.5, float("nan"), float("inf")])
def test_what_is_not_a_whole_number_from_1_is_refused(n: int) -> None:
    with pytest.raises(SelectionError, match="ask for a whole number from 1"):
        check_n(n, 10)


def test_more_than_there_are_is_refused_with_both_numbers() -> None:
    with pytest.raises(SelectionError, match="12,000 cells asked for, but only 11,999 to choose from"):
        check_n(12_000, 11_999)


def test_parameters_are_put_in_canonical_form_and_defaults_filled_in() -> None:
    resolved = STRATEGIES["sketch"].resolve({"k": "0.25", "max_iter": "50"})
    others = {"alpha": 0.1, "replace": False, "engine": "curate"}
    assert resolved == {"k": 0.25, "max_iter": 50} | others


@pytest.mark.parametrize(
    ("given", "columns"),
    [({}, ("cell_type",)), ({"by": "assay, tissue"}, ("assay", "tissue")), ({"by": ["sex"]}, ("sex",))],
)
def test_the_columns_read_are_those_named_by_the_parameter_by(
    given: Mapping[str, object], columns: tuple[str, ...]
) -> None:
    assert STRATEGIES["reweight"].columns(given) == columns


def test_strategies_without_groups_read_no_column() -> None:
    assert STRATEGIES["random"].columns({}) == STRATEGIES["sketch"].columns({}) == ()

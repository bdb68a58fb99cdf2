from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.build.strategies import strata as strata_module
from curate.build.strategies.strata import parse_columns, stratify
from curate.errors import SelectionError

CELLS = pl.DataFrame(
    {
        "cell_type": pl.Series(["T", "B", None, "T", "unknown", "B"], dtype=pl.Categorical),
        "tissue": pl.Series(
            ["lung", "skin", "skin", "skin", "lung", "skin"], dtype=pl.Enum(["skin", "lung"])
        ),
        "donor": ["d2", "d1", "d1", "d2", "d1", "d1"],
        "is_primary_data": [True, True, False, True, True, True],
        "raw_sum": [1.5, 2.0, 2.5, 3.0, 3.5, 4.0],
    }
)


def test_strata_are_in_the_order_of_their_labels_and_null_is_the_last() -> None:
    strata = stratify(CELLS, ["cell_type"])
    assert strata.codes.tolist() == [1, 0, 3, 1, 2, 0]
    assert strata.counts.tolist() == [2, 2, 1, 1]
    assert strata.codes.dtype == np.uint8


def test_the_order_of_an_enumeration_does_not_matter() -> None:
    assert stratify(CELLS, ["tissue"]).codes.tolist() == [0, 1, 1, 1, 0, 1]


def test_combinations_are_numbered_by_the_first_column_then_the_second() -> None:
    strata = stratify(CELLS, ["tissue", "cell_type"])
    # lung T, lung unknown, skin B, skin T, skin null
    assert strata.codes.tolist() == [0, 2, 4, 3, 1, 2]
    assert strata.counts.tolist() == [1, 1, 2, 1, 1]
    assert strata.n == 5


@pytest.mark.parametrize(
    ("name", "codes"), [("donor", [1, 0, 0, 1, 0, 0]), ("is_primary_data", [1, 1, 0, 1, 1, 1])]
)
def test_text_and_booleans_are_categories_too(name: str, codes: list[int]) -> None:
    assert stratify(CELLS, [name]).codes.tolist() == codes


def test_a_filtered_frame_has_only_the_strata_that_are_left() -> None:
    strata = stratify(CELLS.filter(pl.col("cell_type") == "T"), ["cell_type"])
    assert strata.counts.tolist() == [2]


def test_a_column_without_any_value_is_one_stratum() -> None:
    cells = pl.DataFrame({"tissue_type": pl.Series([None] * 4, dtype=pl.Categorical)})
    assert stratify(cells, ["tissue_type"]).counts.tolist() == [4]


LABELS = st.sampled_from(["a", "b", "c", None])


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(LABELS, LABELS, LABELS), min_size=1, max_size=50), st.booleans())
def test_strata_agree_with_a_group_by(rows: list[tuple[str | None, ...]], by_unique: bool) -> None:
    cells = pl.DataFrame(rows, schema=dict.fromkeys("xyz", pl.Categorical), orient="row")
    with pytest.MonkeyPatch.context() as patch:
        # Pairs are numbered through a table where it is small, else through np.unique.
        patch.setattr(strata_module, "_TABLE", 0 if by_unique else 1 << 16)
        strata = stratify(cells, list("xyz"))
    keyed = [tuple(("~" if v is None else v) for v in row) for row in rows]
    ordered = sorted(set(keyed))
    assert strata.codes.tolist() == [ordered.index(row) for row in keyed]
    assert strata.counts.tolist() == [keyed.count(row) for row in ordered]


def test_many_categories_take_wider_codes() -> None:
    cells = pl.DataFrame({"donor_id": pl.Series([f"donor {i:05d}" for i in range(70_000)])})
    strata = stratify(cells, ["donor_id"])
    assert strata.codes.dtype == np.uint32
    np.testing.assert_array_equal(strata.codes, np.arange(70_000))


def test_an_absent_column_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        SelectionError, match="no column 'assay' to group cells by; there are: cell_type, tissue"
    ):
        stratify(CELLS, ["assay"])


def test_a_column_of_measurements_is_refused() -> None:
    with pytest.raises(SelectionError, match="raw_sum holds measurements"):
        stratify(CELLS, ["raw_sum"])


@pytest.mark.parametrize("by", ["", "a,,b", "a,a", [], 3, None])
def test_columns_that_are_not_named_once_each_are_refused(by: object) -> None:
    with pytest.raises(SelectionError, match="name"):
        parse_columns(by)

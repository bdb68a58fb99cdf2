"""Rows of a column by their numbers: texts of one length and of several, slices, nulls."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from curate.corpus.blocks import taken
from curate.corpus.corpus import OBSERVATION_JOINID

TEXTS = {
    "of one length": ["abc", "dëf"[:3], "ghi", "jkl", "mno", "pqr"],
    "of several lengths": ["a", "bcd", "", "efgh", "ij", "k"],
    "of no length": [""] * 6,
    "with nulls": ["abc", None, "ghi", "jkl", None, "pqr"],
}
MASKS = {"some": [1, 0, 1, 1, 0, 1], "all": [1] * 6, "none": [0] * 6}


@pytest.mark.parametrize("dtype", [pa.string(), pa.large_string()], ids=str)
@pytest.mark.parametrize("offset", [0, 2])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_the_marked_rows_are_kept_whatever_the_texts(
    texts: list[str | None], mask: list[int], offset: int, dtype: pa.DataType
) -> None:
    columns = {"x": pa.array(range(6)), OBSERVATION_JOINID: pa.array(texts, dtype)}
    columns["flags"] = pa.array([True, None, False, True, True, False])
    columns["gaps"] = pa.array([1.5, None, 2.5, None, 3.5, 4.5])
    columns["y"] = pa.array(list("abcdef")).dictionary_encode()
    table = pa.table(columns).slice(offset)
    rows = np.array(mask, dtype=np.bool_)[offset:]
    for name in table.column_names:
        column = table[name].chunk(0)
        found = taken(column, np.flatnonzero(rows))
        found.validate(full=True)
        assert found.type == column.type
        assert found.to_pylist() == [
            value for value, kept in zip(column.to_pylist(), rows, strict=True) if kept
        ], name

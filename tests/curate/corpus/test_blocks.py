"""Rows of a table by a mask: texts of one length and of several, slices, nulls."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from curate.corpus.blocks import filtered
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
    columns["y"] = pa.array(list("abcdef")).dictionary_encode()
    table = pa.table(columns).slice(offset)
    rows = np.array(mask, dtype=np.bool_)[offset:]
    found = filtered(table, rows)
    found.validate(full=True)
    assert found.to_pylist() == [row for row, kept in zip(table.to_pylist(), rows, strict=True) if kept]
    assert found.column_names == table.column_names

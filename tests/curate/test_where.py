"""Where: the grammar, the meaning on data frames, and the same meaning as a SOMA filter."""

import ast

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import FilterError
from curate.where import Where

CELLS = pl.DataFrame(
    {
        "soma_joinid": [0, 1, 2, 3, 4],
        "disease": ["A || B", "A", "normal", None, "C"],
        "nnz": [100, 300, 500, None, 700],
        "is_primary_data": [True, False, True, True, False],
    }
).with_columns(pl.col("disease").cast(pl.Categorical))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("disease == 'A'", [0, 1]),
        ("disease == 'A || B'", [0]),
        ("disease != 'A'", [2, 3, 4]),
        ("disease in ['B', 'C']", [0, 4]),
        ("disease not in ['B', 'C']", [1, 2, 3]),
        ("not disease in ['B', 'C']", [1, 2, 3]),
        ("disease == 'absent'", []),
        ("nnz >= 300", [1, 2, 4]),
        ("not nnz >= 300", [0]),
        ("nnz == 300 or nnz == 500", [1, 2]),
        ("is_primary_data == True and disease == 'A'", [0]),
        ("(is_primary_data == True) & (disease == 'A') | (nnz > 600)", [0, 4]),
        ("not (is_primary_data == True or disease == 'A')", [4]),
    ],
)
def test_a_filter_matches_the_cells_worked_out_by_hand(text: str, rows: list[int]) -> None:
    assert CELLS.filter(Where.parse(text).mask(CELLS))["soma_joinid"].to_list() == rows


def test_text_columns_match_alike_as_categorical_enum_and_string() -> None:
    where = Where.parse("disease != 'A'")
    enum = CELLS.with_columns(pl.col("disease").cast(pl.Enum(["A", "A || B", "C", "normal", "unused"])))
    text = CELLS.with_columns(pl.col("disease").cast(pl.String))
    assert where.mask(CELLS).to_list() == where.mask(enum).to_list() == where.mask(text).to_list()


def test_a_soma_filter_spells_out_the_values_that_hold_several() -> None:
    where = Where.parse("disease == 'A' and nnz > 3")
    assert where.to_soma({"disease": ["A || B", "A", "C"]}) == "(disease in ['A || B', 'A'] and nnz > 3)"


def test_a_value_that_no_cell_has_matches_nothing_in_soma() -> None:
    assert Where.parse("disease == 'D'").to_soma({"disease": ["A"]}) == "soma_joinid < 0"
    assert Where.parse("disease != 'D'").to_soma({"disease": ["A"]}) == "soma_joinid >= 0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("disease = 'A'", "does not parse at character 9"),
        ("sex == ", "does not parse at its end, after 'sex =='"),
        (" ", "the filter is empty"),
        ("disease == A", "quote text"),
        ("disease", "not a comparison"),
        ("disease == 'A' == 'B'", "not a comparison"),
        ("disease in 'A'", "take a list"),
        ("disease == ['A']", "take a list"),
        ("disease in []", "must hold"),
        ("disease < 'B'", "compare text with"),
        ("__import__('os') == 1", "not a comparison"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        Where.parse(text)


def test_an_absent_column_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(FilterError, match="'diseaze', which is not there; did you mean 'disease'"):
        Where.parse("diseaze == 'A'").mask(CELLS)


@pytest.mark.parametrize(
    "text", ["disease == 3", "nnz == 'many'", "is_primary_data == 'True'", "nnz == True"]
)
def test_a_value_of_another_type_is_refused(text: str) -> None:
    with pytest.raises(FilterError, match="holds"):
        Where.parse(text).mask(CELLS)


leaves = st.one_of(
    st.builds("nnz {} {}".format, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), st.integers(0, 9)),
    st.builds("kind {} {!r}".format, st.sampled_from(["==", "!="]), st.sampled_from("abc")),
    st.builds(
        "kind {} {!r}".format, st.sampled_from(["in", "not in"]), st.lists(st.sampled_from("abc"), min_size=1)
    ),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
    ),
    max_leaves=8,
)


@given(
    text=filters, rows=st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc")), min_size=1, max_size=20)
)
def test_a_filter_means_what_python_means(text: str, rows: list[tuple[int, str]]) -> None:
    cells = pl.DataFrame({"nnz": [nnz for nnz, _ in rows], "kind": [kind for _, kind in rows]})
    code = compile(ast.parse(text, mode="eval"), "filter", "eval")
    expected = [eval(code, {"nnz": nnz, "kind": kind}) for nnz, kind in rows]
    assert Where.parse(text).mask(cells).to_list() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("x == 1", [True, False]), ("x in [1.0, 2]", [True, False]), ("n == 5.0", [False, True])],
)
def test_whole_and_broken_numbers_are_compared(text: str, expected: list[bool]) -> None:
    frame = pl.DataFrame({"x": [1.0, 1.5], "n": [4, 5]})
    assert Where.parse(text).mask(frame).to_list() == expected

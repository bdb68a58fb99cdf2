"""One filter language over obs columns: the grammar of SOMA's value_filter, for stores and data frames alike.

``disease == 'normal' and assay in ["10x 3' v2", "10x 3' v3"] and not nnz < 300``

A value that holds several, as ``disease`` does from Census schema 2.4 on ("A || B"), equals each of them and
the whole. A missing value equals nothing: ``==``, ``in`` and orderings do not match it, ``!=`` and ``not in``
do.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

import polars as pl

from curate.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SEPARATOR = " || "
EVERYTHING, NOTHING = "soma_joinid >= 0", "soma_joinid < 0"

Value = str | int | float | bool
Operator = Literal["in", "not in", "<", "<=", ">", ">="]
_NEGATED: dict[Operator, Operator] = {
    "in": "not in",
    "not in": "in",
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
}
_OPERATORS: dict[type[ast.cmpop], Operator] = {
    ast.Eq: "in",
    ast.NotEq: "not in",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


@dataclass(frozen=True)
class Where:
    """A parsed filter on obs columns."""

    text: str
    condition: _Condition

    @classmethod
    def parse(cls, text: str) -> Where:
        """Parse a filter.

        Raises
        ------
        FilterError
            When it does not parse, naming the place.
        """
        stripped = text.strip()
        if not stripped:
            raise FilterError("the filter is empty; leave it out to take every cell")
        try:
            tree = ast.parse(stripped, mode="eval").body
        except SyntaxError as error:
            # An offset of 0 stands for the end.
            place = f"at character {error.offset}" if error.offset else f"at its end, after {stripped[-9:]!r}"
            raise FilterError(
                f"filter {text!r} does not parse {place}; write for instance "
                "\"tissue == 'lung' and assay in ['10x 3\\' v3']\""
            ) from None
        return cls(text=stripped, condition=_condition(tree, negated=False, text=text))

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the filter names."""
        return frozenset(leaf.column for leaf in _leaves(self.condition))

    def check(self, available: Iterable[str]) -> None:
        """Raise FilterError when the filter names a column that is not in `available`."""
        known = sorted(available)
        for column in sorted(self.columns - set(known)):
            near = get_close_matches(column, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"columns: {', '.join(known)}"
            raise FilterError(f"filter {self.text!r} names the column {column!r}, which is not there; {hint}")

    def mask(self, cells: pl.DataFrame) -> pl.Series:
        """Return which rows of `cells` match, bool [n_cells].

        Raises
        ------
        FilterError
            When a column is absent, or holds text and is compared with a number or the reverse.
        """
        self.check(cells.columns)
        for leaf in _leaves(self.condition):
            _check_type(leaf, cells.schema[leaf.column])
        enumerations = {
            name: dtype.categories.to_list()
            if isinstance(dtype := cells.schema[name], pl.Enum)
            else cells[name].drop_nulls().unique().cast(pl.String).to_list()
            for name in self.columns
            if _is_text(cells.schema[name])
        }
        return cells.with_columns(_expression(self.condition, enumerations).alias("where"))["where"]

    def to_soma(self, enumerations: Mapping[str, Sequence[str]]) -> str:
        """Return the filter as a SOMA value_filter.

        Parameters
        ----------
        enumerations
            The values of each enumerated (text) column; a value that no cell has matches nothing.
        """
        return _soma(self.condition, enumerations)


@dataclass(frozen=True)
class _Leaf:
    column: str
    operator: Operator
    values: tuple[Value, ...]


@dataclass(frozen=True)
class _Junction:
    word: Literal["and", "or"]
    parts: tuple[_Condition, ...]


_Condition = _Leaf | _Junction


def _condition(node: ast.expr, *, negated: bool, text: str) -> _Condition:
    match node:
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return _condition(operand, negated=not negated, text=text)
        case ast.BoolOp(op=junction, values=nodes):
            return _junction(isinstance(junction, ast.And), nodes, negated=negated, text=text)
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr() as op, left=left, right=right):
            return _junction(isinstance(op, ast.BitAnd), [left, right], negated=negated, text=text)
        case ast.Compare(left=ast.Name(id=column), ops=[op], comparators=[right]) if type(op) in _OPERATORS:
            operator = _OPERATORS[type(op)]
            values = _values(right, several=isinstance(op, ast.In | ast.NotIn), text=text)
            if operator not in ("in", "not in") and isinstance(values[0], str):
                raise FilterError(
                    f"filter {text!r} orders {column!r} by text; compare text with ==, !=, in or not in"
                )
            return _Leaf(column, _NEGATED[operator] if negated else operator, values)
    raise FilterError(
        f"filter {text!r}: {ast.unparse(node)!r} is not a comparison of a column with a value; "
        "compare with ==, !=, <, <=, >, >=, in, not in and join with and, or, not"
    )


def _junction(is_and: bool, nodes: Sequence[ast.expr], *, negated: bool, text: str) -> _Junction:
    parts = tuple(_condition(node, negated=negated, text=text) for node in nodes)
    return _Junction("and" if is_and != negated else "or", parts)


def _values(node: ast.expr, *, several: bool, text: str) -> tuple[Value, ...]:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        raise FilterError(f"filter {text!r}: {ast.unparse(node)!r} is not a value; quote text") from None
    values = tuple(value) if several and isinstance(value, list | tuple | set) else (value,)
    if several != isinstance(value, list | tuple | set):
        raise FilterError(
            f"filter {text!r}: in and not in take a list, such as ['a', 'b']; == and the like one value"
        )
    if not values or not all(isinstance(each, Value) for each in values):
        raise FilterError(f"filter {text!r}: {ast.unparse(node)!r} must hold texts, numbers, True or False")
    return values


def _leaves(condition: _Condition) -> list[_Leaf]:
    if isinstance(condition, _Leaf):
        return [condition]
    return [leaf for part in condition.parts for leaf in _leaves(part)]


def _matching(leaf: _Leaf, categories: Sequence[str]) -> list[str]:
    wanted = set(leaf.values)
    return [each for each in categories if each in wanted or not wanted.isdisjoint(each.split(SEPARATOR))]


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Categorical | pl.Enum | pl.String)


def _check_type(leaf: _Leaf, dtype: pl.DataType) -> None:
    holds = "text" if _is_text(dtype) else "True or False" if dtype == pl.Boolean else "numbers"
    for value in leaf.values:
        is_flag = isinstance(value, bool)
        given = "text" if isinstance(value, str) else "True or False" if is_flag else "numbers"
        if given != holds and dtype != pl.Null:
            raise FilterError(f"the column {leaf.column!r} holds {holds}; {value!r} equals none of them")


def _expression(condition: _Condition, enumerations: Mapping[str, Sequence[str]]) -> pl.Expr:
    if isinstance(condition, _Junction):
        parts = [_expression(part, enumerations) for part in condition.parts]
        return pl.all_horizontal(parts) if condition.word == "and" else pl.any_horizontal(parts)
    column = pl.col(condition.column)
    match condition.operator:
        case "in" | "not in":
            if condition.column in enumerations:
                values = _matching(condition, enumerations[condition.column])
                is_in = column.is_in(values) if values else pl.lit(False)
            else:
                is_in = pl.any_horizontal([column == value for value in condition.values])
            is_in = is_in.fill_null(value=False)
            return is_in if condition.operator == "in" else ~is_in
        case "<":
            ordered = column < condition.values[0]
        case "<=":
            ordered = column <= condition.values[0]
        case ">":
            ordered = column > condition.values[0]
        case ">=":
            ordered = column >= condition.values[0]
    return ordered.fill_null(value=False)


def _soma(condition: _Condition, enumerations: Mapping[str, Sequence[str]]) -> str:
    if isinstance(condition, _Junction):
        return "(" + f" {condition.word} ".join(_soma(part, enumerations) for part in condition.parts) + ")"
    column, operator = condition.column, condition.operator
    if operator in ("in", "not in") and column in enumerations:
        matching = _matching(condition, enumerations[column])
        if not matching:
            return NOTHING if operator == "in" else EVERYTHING
        return f"{column} {operator} {matching!r}"
    if operator in ("in", "not in"):
        sign, word = ("==", " or ") if operator == "in" else ("!=", " and ")
        return "(" + word.join(f"{column} {sign} {value!r}" for value in condition.values) + ")"
    return f"{column} {operator} {condition.values[0]!r}"

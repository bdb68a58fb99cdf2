"""The two halves of a reference: which of its cells are for training, which are held out.

A cell's half is decided by its own name, or by its own value of one column, and by the rule: by nothing that
another cell holds. So nothing that happens to held-out cells moves a cell from one half to the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.census.layout import UNKNOWN
from curate.identity import cell_keys, identity_hash
from curate.task import CELL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.task import SplitRule

_WHOLE = 2**53


@dataclass(frozen=True)
class Halves:
    """bool [n_cells] each; a cell may be in neither, where the rule names the values of both."""

    train: NDArray[np.bool_]
    held_out: NDArray[np.bool_]


def split_halves(rule: SplitRule, names: pl.Series, values: pl.Series | None) -> Halves:
    """Divide the cells of a reference.

    Parameters
    ----------
    names
        Text [n_cells], what the cells are called.
    values
        [n_cells], the column `rule.by`; None where a unit is a cell. Cells without a value are one unit.
    """
    units = names if values is None or rule.by == CELL else value_texts(values)
    if rule.train:
        train = units.is_in(list(rule.train)).to_numpy()
        held_out = units.is_in(list(rule.held_out)).to_numpy() if rule.held_out else ~train
        return Halves(train, held_out)
    described = rule.described()
    unit = pl.repeat("task reference", len(units), dtype=pl.String, eager=True)
    keys = cell_keys(identity_hash(unit, units), seed=described["seed"], purpose="task split")
    # The upper 53 bits are exact as a float, and below 1: a fraction of 1 takes every cell.
    train = (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53 < described["train_fraction"]
    return Halves(train, ~train)


def value_texts(values: pl.Series) -> pl.Series:
    """Return a column as text, value by value: a whole float as an integer, what is missing as "unknown"."""
    texts = values.cast(pl.String)
    if values.dtype.is_float():
        numbers = values.fill_nan(None)
        is_whole = (numbers % 1 == 0) & (numbers.abs() <= _WHOLE)
        whole = numbers.set(~is_whole.fill_null(value=False), None).cast(pl.Int64).cast(pl.String)
        texts = pl.select(pl.coalesce(whole, texts.set(numbers.is_null(), None))).to_series()
    return texts.set(texts.is_in(["", "nan", "NaN", "None", "<NA>"]), None).fill_null(UNKNOWN)

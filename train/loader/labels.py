"""Labels of cells as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from curate.manifests.document import Split
    from curate.train.shards import Shards


def read_labels(
    shards: Shards, split: Split, labels: Sequence[str] | Mapping[str, Sequence[str]]
) -> tuple[dict[str, NDArray[np.int64]], dict[str, list[str]]]:
    """Return the codes of the cells of a split of shards, and what they mean; see `coded_labels`."""
    codes, categories = coded_labels(shards.obs, labels)
    rows = shards.rows(split)
    return {name: held[rows.start : rows.stop] for name, held in codes.items()}, categories


def coded_labels(
    read: Callable[[list[str]], pl.DataFrame], labels: Sequence[str] | Mapping[str, Sequence[str]]
) -> tuple[dict[str, NDArray[np.int64]], dict[str, list[str]]]:
    """Return the code of each cell, and what the codes mean: values of all cells, in alphabetical order.

    Parameters
    ----------
    read
        Returns columns of obs, of the cells of all splits.
    labels
        Columns; a name with several stands for their combinations.

    Returns
    -------
    dict, dict
        int64 [n_cells], -1 for null, and categories, by the name of a label.
    """
    columns = labels if isinstance(labels, Mapping) else {name: (name,) for name in labels}
    codes: dict[str, NDArray[np.int64]] = {}
    categories: dict[str, list[str]] = {}
    if not columns:
        return codes, categories
    obs = read(list(dict.fromkeys(name for names in columns.values() for name in names)))
    for label, names in columns.items():
        column = _combined(obs, names)
        categories[label] = column.drop_nulls().unique().sort().to_list()
        codes[label] = _numbers(column, categories[label])
    return codes, categories


def labels_of(
    obs: pl.DataFrame, labels: Mapping[str, Sequence[str]], categories: Mapping[str, Sequence[str]]
) -> dict[str, NDArray[np.int64]]:
    """Return the code of each of some cells of elsewhere, by the name of a label.

    Parameters
    ----------
    labels
        Columns of each, as for `coded_labels`. Where `obs` lacks one, all codes are -1.
    categories
        What the codes of some labels mean; what is not among them is -1. Others are numbered by what occurs.
    """
    codes = {}
    for label, names in labels.items():
        if not set(names) <= set(obs.columns):
            codes[label] = np.full(obs.height, -1)
            continue
        column = _combined(obs, names)
        known = categories.get(label)
        codes[label] = _numbers(column, column.drop_nulls().unique().sort() if known is None else known)
    return codes


def _combined(obs: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    texts = [pl.col(name).cast(pl.String) for name in names]
    return obs.select(pl.concat_str(texts, separator="|")).to_series()


def _numbers(column: pl.Series, categories: Sequence[str] | pl.Series) -> NDArray[np.int64]:
    """Return the number of each value among the categories; -1 for null, and what is not among them."""
    coded = column.cast(pl.Enum(list(categories)), strict=False).to_physical().cast(pl.Int64)
    numbers: NDArray[np.int64] = coded.fill_null(-1).to_numpy().copy()
    return numbers

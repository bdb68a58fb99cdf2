"""Labels of cells as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
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
        texts = obs.select(pl.concat_str([pl.col(name).cast(pl.String) for name in names], separator="|"))
        column = texts.to_series()
        categories[label] = column.drop_nulls().unique().sort().to_list()
        coded = column.cast(pl.Enum(categories[label])).to_physical().cast(pl.Int64)
        codes[label] = coded.fill_null(-1).to_numpy().copy()
    return codes, categories

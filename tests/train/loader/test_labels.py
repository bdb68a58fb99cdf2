"""Labels of cells that are in no shards."""

from __future__ import annotations

import polars as pl

from curate.train.loader.labels import labels_of

OBS = pl.DataFrame({"donor": ["d2", "d1", None, "d2"], "assay": ["x", "y", "x", "z"]})


def test_values_are_numbered_as_the_model_numbers_them() -> None:
    categories = {"batch": ["d0|x", "d1|y", "d2|x"]}
    codes = labels_of(OBS, {"batch": ("donor", "assay")}, categories)
    # d2|z is not known, and the third donor is null.
    assert codes["batch"].tolist() == [2, 1, -1, -1]


def test_values_without_categories_are_numbered_in_order() -> None:
    assert labels_of(OBS, {"across": ("donor",)}, {})["across"].tolist() == [1, 0, -1, 1]


def test_a_label_whose_column_is_not_there_is_not_known() -> None:
    codes = labels_of(OBS, {"batch": ("donor", "tissue")}, {"batch": ["d1|blood"]})
    assert codes["batch"].tolist() == [-1, -1, -1, -1]

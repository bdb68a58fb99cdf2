from __future__ import annotations

import pytest

from curate.errors import ModelError
from curate.train.models.settings import NetworkSettings, changed

SETTINGS = NetworkSettings(n_dims=4)


def test_texts_are_read_as_the_type_of_the_setting() -> None:
    found = changed(SETTINGS, {"batch_size": "32", "learning_rate": "0.5"}, model="mine")
    assert found == NetworkSettings(n_dims=4, batch_size=32, learning_rate=0.5)


def test_none_is_read_where_a_setting_may_be_none() -> None:
    found = changed(SETTINGS, {"patience": "none", "clip_norm": "none"}, model="mine")
    assert found == NetworkSettings(n_dims=4, patience=None, clip_norm=None)
    with pytest.raises(ModelError, match=r"setting batch_size of model mine: .*; given 'none'"):
        changed(SETTINGS, {"batch_size": "none"}, model="mine")


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="model mine has no setting 'batchsize'; did you mean 'batch_size'"):
        changed(SETTINGS, {"batchsize": "3"}, model="mine")

"""rates: measured by runs, kept in the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curate.rates import DEFAULTS, RATES_FILE, measured, rate_of, this_machine

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_measurement_the_default_says_where_it_comes_from(tmp_path: Path) -> None:
    rate = rate_of(tmp_path, "build reweight")
    assert rate == DEFAULTS["build"]
    assert rate.source.startswith("default: ")
    assert rate.measured is None
    assert rate_of(tmp_path, "corpus build") == DEFAULTS["corpus build"]
    assert rate_of(tmp_path, "build sketch") == DEFAULTS["build sketch"]


def test_a_run_is_kept_with_the_machine_and_the_day(tmp_path: Path) -> None:
    with measured(tmp_path, "embed", 1000, unit="non-zeros"):
        pass
    rate = rate_of(tmp_path, "embed")
    assert (rate.amount, rate.unit, rate.source) == (1000, "non-zeros", this_machine())
    assert rate.measured is not None
    assert rate.per_s == 1000 / rate.seconds
    with measured(tmp_path, "build random", 5, unit="cells"):
        pass
    assert rate_of(tmp_path, "embed") == rate


def test_a_run_of_a_like_amount_takes_the_place_of_the_last_and_a_tiny_one_does_not(tmp_path: Path) -> None:
    for amount, expected in ((1000, 1000), (150, 150), (14, 150), (9000, 9000)):
        with measured(tmp_path, "embed", amount, unit="non-zeros"):
            pass
        assert rate_of(tmp_path, "embed").amount == expected


def test_a_run_that_failed_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyError), measured(tmp_path, "embed", 1000, unit="non-zeros"):
        raise KeyError("no")
    assert not (tmp_path / RATES_FILE).exists()


def test_a_file_that_cannot_be_read_counts_as_none_and_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / RATES_FILE).write_text("{torn")
    assert rate_of(tmp_path, "embed") == DEFAULTS["embed"]
    with measured(tmp_path, "embed", 7, unit="non-zeros"):
        pass
    assert rate_of(tmp_path, "embed").amount == 7


def test_a_folder_that_cannot_be_written_to_costs_the_measurement_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with measured(tmp_path / "file", "embed", 7, unit="non-zeros"):
        pass
    assert rate_of(tmp_path / "file", "embed") == DEFAULTS["embed"]

from __future__ import annotations

import pytest

from curate.build.strategies.settings import between, one_of, whole, yes_no
from curate.errors import SelectionError


def test_texts_and_python_values_are_read_alike() -> None:
    assert whole("k")("12") == whole("k")(12.0) == 12
    assert between("mix", 0, 1, with_low=True)("0") == 0
    assert yes_no("replace")("No") is yes_no("replace")(False) is False
    assert one_of("engine", ["ours", "theirs"])("ours") == "ours"


@pytest.mark.parametrize("value", ["x", None, 1.5, float("nan"), float("inf"), 1])
def test_what_is_no_whole_number_from_the_least_is_refused(value: object) -> None:
    with pytest.raises(SelectionError, match=r"k=.* must be a whole number from 2; 1,000 is usual"):
        whole("k", least=2, usual=1_000)(value)


@pytest.mark.parametrize("value", ["x", None, -0.1, 1, float("nan")])
def test_what_lies_outside_is_refused_and_the_ends_are_named(value: object) -> None:
    with pytest.raises(SelectionError, match=r"mix=.* must lie between 0 and 1, 0 included"):
        between("mix", 0, 1, with_low=True)(value)


def test_names_that_there_are_not_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(SelectionError, match=r"no engine named 'their'.*theirs"):
        one_of("engine", ["ours", "theirs"])("their")
    with pytest.raises(SelectionError, match="replace=maybe is neither yes nor no"):
        yes_no("replace")("maybe")

from __future__ import annotations

import pytest

from curate.nearest import nearest


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("celltype", "did you mean 'cell_type'?"),
        ("TISSUE", "did you mean 'tissue'?"),
        ("zzz", "there are: cell_type, tissue"),
    ],
)
def test_the_nearest_name_is_said_else_all_of_them(name: str, hint: str) -> None:
    assert nearest(name, ["cell_type", "tissue"]) == hint


def test_no_names_are_said_to_be_none() -> None:
    assert nearest("a", []) == "there are: none"

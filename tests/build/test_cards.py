"""Cards of strategies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from curate.build.cards import all_cards, card_page, cards_page, make_card
from curate.build.strategies import STRATEGIES
from curate.errors import SelectionError
from curate.rates import measured

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType


def shown(page: RenderableType) -> str:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as capture:
        console.print(page)
    return capture.get()


def test_every_strategy_has_a_card_that_json_holds() -> None:
    cards = {card.name: card for card in all_cards()}
    assert list(cards) == list(STRATEGIES)
    json.dumps([card.to_json() for card in cards.values()], allow_nan=False)
    assert cards["sketch"].needs == ("embedding",)
    assert cards["depth"].needs == ("cell_type", "raw_sum")
    assert (cards["depth"].nested, cards["depth"].is_drawn) == (True, False)
    assert cards["random"].needs == ()
    assert cards["sketch"].growth == "N d log N"
    assert "10.1016/j.cels.2019.05.003" in cards["sketch"].paper
    assert [each.name for each in cards["blocks"].parameters] == ["tiles", "tile_cells"]


def test_a_card_is_of_the_settings_in_its_name() -> None:
    assert make_card("depth(by=tissue,assay)").needs == ("tissue", "assay", "raw_sum")
    recipe = make_card("combine(parts=0.5 stratified + 0.5 depth)")
    assert (recipe.needs, recipe.nested) == (("cell_type", "raw_sum"), False)
    with pytest.raises(SelectionError, match="no strategy named 'deep'"):
        make_card("deep")


def test_a_rate_is_the_one_measured_here_or_a_stated_default_or_none(tmp_path: Path) -> None:
    assert (make_card("stratified", root=tmp_path).cells_per_s, make_card("stratified").cells_per_s) == (
        None,
        None,
    )
    default = make_card("sketch", root=tmp_path)
    assert (default.rate_source or "").startswith("default: ")
    assert "~ 541k" in shown(cards_page([default]))
    with measured(tmp_path, "build sketch", 1e6, unit="cells"):
        pass
    found = make_card("sketch", root=tmp_path)
    assert found.cells_per_s != default.cells_per_s
    assert "default" not in (found.rate_source or "")
    assert "M" in shown(cards_page([found])).split("log N")[1].splitlines()[0]
    assert make_card("random").cells_per_s is not None


def test_the_list_has_a_row_for_each_and_says_what_its_columns_are() -> None:
    page = shown(cards_page(all_cards()))
    for expected in (*STRATEGIES, "N d log N", "nests: ", "path/to/file.py:function"):
        assert expected in page


def test_the_page_of_one_shows_its_settings_as_the_command_line_reads_them(tmp_path: Path) -> None:
    page = shown(card_page(make_card("sketch(replace=yes, k=0.5)")))
    for expected in ("--max-iter", "yes", "0.5", "Hie et al.", "541k cells/s"):
        assert expected in page
    assert "0.5 depth(by=cell_type, depth_column=raw_sum)" in shown(
        card_page(make_card("combine(parts=0.5 depth + 0.5 random)"))
    )
    path = tmp_path / "own.py"
    path.write_text("def choose(n):\n    '''The first.'''\n    return range(n)\n")
    own = shown(card_page(make_card(f"{path}:choose")))
    assert "The first." in own
    assert "--sha256" in own
    assert "setting" not in shown(card_page(make_card("random")))

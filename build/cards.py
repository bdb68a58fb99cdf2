"""What is known of each strategy before it runs, for people: cards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from curate.build.strategies import STRATEGIES
from curate.build.strategies.named import settle
from curate.rates import own_rate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from curate.rates import Rate


@dataclass(frozen=True)
class Setting:
    """A parameter of a strategy."""

    name: str
    default: Any
    metavar: str
    help: str


@dataclass(frozen=True)
class Card:
    """What is known of a strategy.

    Attributes
    ----------
    needs
        "embedding", "task", and the obs columns that it reads with its default settings.
    nested
        The choice of fewer cells lies inside that of more.
    is_drawn
        Another seed gives another choice.
    growth
        How work grows with N cells to choose from, n chosen, d dimensions.
    cells_per_s, rate_source
        Cells of the corpus a second of a whole build, and where the number comes from; None where no build
        was measured.
    paper
        Where it comes from.
    """

    name: str
    summary: str
    needs: tuple[str, ...]
    nested: bool
    is_drawn: bool
    growth: str
    cells_per_s: float | None
    rate_source: str | None
    paper: str
    parameters: tuple[Setting, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return asdict(self)


def make_card(name: str, *, root: Path | None = None) -> Card:
    """Return the card of a strategy, with the settings that the name holds.

    Parameters
    ----------
    name
        As in `settle`; a file that it names is run.
    root
        The workspace, for its measured rates.

    Raises
    ------
    SelectionError
        When there is no such strategy.
    """
    settled = settle(name)
    strategy, settings = settled.strategy, settled.settings
    rate = own_rate(root, f"build {settled.name}")
    needs = [
        *(["embedding"] if strategy.needs_embedding else []),
        *(["task"] if strategy.needs_task else []),
        *strategy.columns(settings),
    ]
    return Card(
        name=settled.name,
        summary=strategy.summary,
        needs=tuple(needs),
        nested=strategy.nested,
        is_drawn=strategy.is_drawn,
        growth=strategy.growth,
        cells_per_s=rate.per_s if rate else None,
        rate_source=_source(rate) if rate else None,
        paper=strategy.reference,
        parameters=tuple(
            Setting(each.name, settings[each.name], each.metavar, each.help) for each in strategy.parameters
        ),
    )


def all_cards(*, root: Path | None = None) -> list[Card]:
    """Return the cards of all strategies."""
    return [make_card(name, root=root) for name in STRATEGIES]


def cards_page(cards: Sequence[Card]) -> RenderableType:
    """Return cards as a table: one strategy a row."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan", expand=False)
    for title in ("strategy", "chooses", "needs"):
        table.add_column(title, no_wrap=title == "strategy", overflow="fold")
    for title in ("nests", "drawn"):
        table.add_column(title, no_wrap=True)
    table.add_column("grows with", no_wrap=True)
    table.add_column("cells/s", justify="right", no_wrap=True)
    table.add_column("paper", overflow="fold", style="dim")
    for card in cards:
        table.add_row(
            Text(card.name, style="bold"),
            Text(card.summary),
            ", ".join(card.needs) or "-",
            _yes(card.nested),
            _yes(card.is_drawn),
            card.growth,
            _rate(card),
            Text(card.paper),
        )
    notes = (
        "nests: the choice of fewer cells lies inside that of more, with one seed. drawn: another seed gives "
        "another choice.\nN cells to choose from, n chosen, d dimensions. cells/s: cells to choose from, a "
        "second of a whole build; ~ a stated default, - not measured yet.\n"
        "Your own: path/to/file.py:function, see docs/strategies.md."
    )
    return Group(table, Text(), Text(notes, style="dim"))


def card_page(card: Card) -> RenderableType:
    """Return one card with its parameters."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    rate = f"{_rate(card)} cells/s, {card.rate_source}" if card.cells_per_s else "not measured yet"
    for name, text in (
        ("chooses", card.summary),
        ("needs", ", ".join(card.needs) or "nothing but the cells"),
        ("nests", "yes: with one seed fewer cells lie inside more" if card.nested else "no"),
        ("drawn", "yes: by seed" if card.is_drawn else "no: the seed but breaks ties"),
        ("grows with", f"{card.growth}  (N cells to choose from, n chosen, d dimensions)"),
        ("build", rate),
        ("paper", card.paper),
    ):
        facts.add_row(name, Text(text))
    if not card.parameters:
        return Group(Text(card.name, style="bold"), facts)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan")
    table.add_column("\nsetting", no_wrap=True)
    table.add_column("\nvalue", overflow="fold")
    table.add_column("\nis", overflow="fold")
    for each in card.parameters:
        table.add_row(f"--{each.name.replace('_', '-')}", Text(_value(each.default)), Text(each.help))
    return Group(Text(card.name, style="bold"), facts, table)


def _source(rate: Rate) -> str:
    when = f", {rate.measured:%Y-%m-%d}" if rate.measured else ""
    return f"{rate.source}{when}"


def _rate(card: Card) -> str:
    if card.cells_per_s is None or card.rate_source is None:
        return "-"
    about = "~ " if card.rate_source.startswith("default") else ""
    number, unit = (card.cells_per_s / 1e6, "M") if card.cells_per_s >= 1e6 else (card.cells_per_s / 1e3, "k")
    return f"{about}{number:.3g}{unit}"


def _value(value: Any) -> str:
    from curate.build.strategies.written import is_parts, text_of, write_parts

    return write_parts(value) if is_parts(value) else text_of(value)


def _yes(value: bool) -> str:
    return "yes" if value else "no"

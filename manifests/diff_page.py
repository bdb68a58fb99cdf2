"""A diff of two manifests as a page in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from curate.manifests.page import percent
from curate.quantiles import QUANTILES, shown
from curate.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from curate.manifests.cells_diff import CellsDiff
    from curate.manifests.diff import CompositionShift, ManifestDiff, NumberShift, Side

MEASURES = {"n_labels": "labels", "shannon_bits": "Shannon bits", "inverse_simpson": "inverse Simpson"}
MEASURES |= {"gini_simpson": "Gini-Simpson"}


def diff_page(diff: ManifestDiff, *, top: int = 8) -> RenderableType:
    """Return what a person wants to know about a diff: cells, settings, diversity, and what moved.

    Parameters
    ----------
    top
        Movers to show of each obs column.
    """
    title = Text.assemble(
        ("A ", "dim"), (diff.a.ref, "bold"), ("  →  ", "dim"), ("B ", "dim"), (diff.b.ref, "bold")
    )
    parts: list[RenderableType] = [title]
    parts += [
        Text(f"{name}: {side.corpus}, {side.label}", style="yellow")
        for name, side in labelled(diff.a, diff.b)
    ]
    parts += [Text(f"note: {note}", style="yellow") for note in diff.notes]
    if diff.same:
        parts.append(Text(f"the same content: both have the id {diff.a.id[:12]}"))
    parts += [_cells(diff.cells)] if diff.cells else []
    parts += [_settings(diff)] if diff.settings else []
    parts += [_exclusions(diff)] if diff.a.exclusions or diff.b.exclusions else []
    parts.append(_diversity(diff))
    parts += [_shift(shift, top=top) for shift in diff.composition]
    parts += [_number_shift(shift) for shift in diff.numbers]
    if any(shift.multivalued for shift in diff.composition):
        text = "* a cell labelled 'A || B' counts for both: shares may add to more than 1"
        parts.append(Text(text, style="dim"))
    return Group(*parts)


def labelled(a: Side, b: Side) -> list[tuple[str, Side]]:
    """Return the sides whose store says something about itself; once when both say the same."""
    if (a.corpus, a.label) == (b.corpus, b.label):
        return [("A and B", a)] if a.label else []
    return [(name, side) for name, side in (("A", a), ("B", b)) if side.label]


def _cells(cells: CellsDiff) -> Table:
    table = _table("cells", "n")
    for name, n in [("only in A", cells.only_a), ("only in B", cells.only_b), ("in both", cells.both)]:
        table.add_row(name, f"{n:,}")
    table.add_row("Jaccard", f"{cells.jaccard:.4f}")
    if cells.n_split_differs:
        table.add_row("in both, another split", f"{cells.n_split_differs:,}")
        for change, n in cells.split_changes.items():
            table.add_row(f"  {change}", f"{n:,}")
    return table


def _settings(diff: ManifestDiff) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan")
    table.add_column("\nsettings that differ", min_width=24, overflow="fold")
    table.add_column("\nA", overflow="fold")
    table.add_column("\nB", overflow="fold")
    for change in diff.settings:
        table.add_row(change.name, setting(change.a), setting(change.b))
    return table


def _exclusions(diff: ManifestDiff) -> Table:
    table = _table("cells left out", "A", "B")
    of_a, of_b = diff.a.exclusions, diff.b.exclusions
    for reason in {**of_a, **of_b}:
        table.add_row(reason, *(f"{held[reason]:,}" if reason in held else "" for held in (of_a, of_b)))
    return table


def _diversity(diff: ManifestDiff) -> Table:
    table = _table("diversity", "A", "B", "B - A")
    table.add_row("donors", *change_of(diff.a.n_donors, diff.b.n_donors))
    for column in diff.a.diversity:
        if column in diff.b.diversity:
            of_a, of_b = diff.a.diversity[column], diff.b.diversity[column]
            for key, name in MEASURES.items():
                table.add_row(f"{column}: {name}", *change_of(of_a[key], of_b[key]))
    return table


def _shift(shift: CompositionShift, *, top: int) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan")
    name = f"{shift.column}{' *' if shift.multivalued else ''}"
    table.add_column(f"\n{name}", width=34, no_wrap=True, overflow="ellipsis")
    for name, width in (("share in A", 10), ("share in B", 10), ("points", 8), ("fold", 7)):
        table.add_column(f"\n{name}", justify="right", width=width)
    moved = [mover for mover in shift.movers if mover.points]
    for mover in moved[:top]:
        table.add_row(
            mover.label,
            percent(mover.share_a),
            percent(mover.share_b),
            Text(f"{mover.points:+.2f}", style="green" if mover.points > 0 else "red"),
            mover.fold_shown,
        )
    return Group(table, Text(f"{_summary(shift)}; {_more(len(moved), top)}", style="dim"))


def _number_shift(shift: NumberShift) -> RenderableType:
    table = _table(shift.column, "A", "B", "B - A")
    for name in QUANTILES:
        of_a, of_b = shift.quantiles_a.get(name), shift.quantiles_b.get(name)
        change = "" if of_a is None or of_b is None else shown(of_b - of_a)
        table.add_row(name, *("none" if held is None else shown(held) for held in (of_a, of_b)), change)
    if shift.n_missing_a or shift.n_missing_b:
        table.add_row("cells without a value", f"{shift.n_missing_a:,}", f"{shift.n_missing_b:,}", "")
    distance = shift.kolmogorov_smirnov
    summary = "not compared: one side has no values" if distance is None else f"{distance:.4f}"
    return Group(table, Text(f"Kolmogorov-Smirnov {summary}", style="dim"))


def _summary(shift: CompositionShift) -> str:
    bits = shift.jensen_shannon_bits
    divergence = "<0.0001" if 0 < bits < 0.00005 else f"{bits:.4f}"
    a, b = shift.n_labels_a, shift.n_labels_b
    return f"Jensen-Shannon {divergence} bits; {counted(a, 'label') if a == b else f'{a:,} → {b:,} labels'}"


def _more(n_moved: int, top: int) -> str:
    if n_moved == 0:
        return "no share differs"
    return (
        f"{counted(n_moved - top, 'smaller difference')} not shown"
        if n_moved > top
        else "all differences shown"
    )


def _table(title: str, *numbers: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan")
    table.add_column(f"\n{title}", width=34)
    for name in numbers:
        table.add_column(f"\n{name}", justify="right", min_width=10)
    return table


def change_of(a: float, b: float) -> tuple[str, str, str]:
    """Return two numbers and their difference, written out."""
    if isinstance(a, int) and isinstance(b, int):
        return f"{a:,}", f"{b:,}", f"{b - a:+,}"
    return f"{a:.4f}", f"{b:.4f}", f"{b - a:+.4f}"


def setting(value: Any) -> str:
    """Return a setting as a page shows it; of a fingerprint the beginning."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = str(value)
    return text[:12] if len(text) == 64 else text

"""A diff of two manifests as one page of HTML that holds all it needs: no script, no network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from curate.atomic import atomic_file
from curate.charts import FAINT, GRID, INK, chart_svg, check_charts
from curate.manifests.diff_chart import DOWN, UP, A, B, composition_chart, overlap_chart
from curate.manifests.diff_page import MEASURES, change_of, labelled, setting
from curate.manifests.page import percent, simulated
from curate.quantiles import QUANTILES, shown
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from curate.manifests.diff import CompositionShift, ManifestDiff, Mover, NumberShift, Side

TOP = 12

_STYLE = f"""
body {{ font: 14px/1.45 "Liberation Sans", Helvetica, Arial, sans-serif; color: {INK}; background: white;
  max-width: 1080px; margin: 32px auto; padding: 0 24px; }}
h1 {{ font-size: 22px; margin: 0 0 4px; overflow-wrap: anywhere; }}
h2 {{ font-size: 16px; margin: 36px 0 10px; border-top: 1px solid {GRID}; padding-top: 18px; }}
p, td, th, dt {{ overflow-wrap: anywhere; }}
.faint {{ color: {FAINT}; }}
.note {{ border-left: 4px solid {DOWN}; padding: 4px 12px; }}
.a {{ color: {A}; }} .b {{ color: {B}; }} .up {{ color: {UP}; }} .down {{ color: {DOWN}; }}
.sides {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 0 32px; }}
table {{ border-collapse: collapse; margin: 4px 0 14px; }}
th {{ text-align: left; font-weight: bold; border-bottom: 1px solid {FAINT}; }}
th, td {{ padding: 3px 18px 3px 0; vertical-align: top; }}
td {{ border-bottom: 1px solid {GRID}; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
svg {{ max-width: 100%; height: auto; display: block; margin-left: -16px; }}
"""


def write_html(diff: ManifestDiff, path: Path, *, top: int = TOP) -> None:
    """Write a diff as a page of HTML.

    Parameters
    ----------
    top
        Labels of each obs column in its chart, and at most in each of its two tables.

    Raises
    ------
    WriteError
        When a package of the extra [report] is missing, or the file cannot be written.
    """
    check_charts()
    content = diff_html(diff, top=top)
    with atomic_file(path) as aside:
        aside.write_text(content, encoding="utf-8")


def diff_html(diff: ManifestDiff, *, top: int = TOP) -> str:
    """Return a diff as a page of HTML: cells, settings, exclusions, composition, diversity."""
    parts = [
        _head(diff),
        _cells(diff),
        _settings(diff),
        _exclusions(diff),
        _diversity(diff),
        *(_shift(diff, shift, top=top) for shift in diff.composition),
        *(_numbers(shift) for shift in diff.numbers),
    ]
    title = escape(f"{diff.a.ref} and {diff.b.ref}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _head(diff: ManifestDiff) -> str:
    notes = [f"{name}: {side.corpus}, {side.label}" for name, side in labelled(diff.a, diff.b)]
    line = simulated({side.corpus: side.label for side in (diff.a, diff.b)})
    told = [*([line] if line else []), *notes, *diff.notes]
    if diff.same:
        told.append(f"the same content: both have the id {diff.a.id[:12]}")
    sides = "".join(_side(name, side) for name, side in (("A", diff.a), ("B", diff.b)))
    return (
        f'<h1><span class="a">A</span> {escape(diff.a.ref)} &rarr; <span class="b">B</span> '
        f"{escape(diff.b.ref)}</h1>"
        + "".join(f'<p class="note">{escape(note)}</p>' for note in told)
        + f'<div class="sides">{sides}</div>'
    )


def _side(name: str, side: Side) -> str:
    splits = ", ".join(f"{split} {n:,}" for split, n in side.splits.items())
    lines = [
        ("id", side.id[:12]),
        ("corpus", f"{side.corpus} ({side.corpus_id[:12]})"),
        ("cells", f"{side.n_cells:,}: {splits}"),
        ("donors", f"{side.n_donors:,}"),
    ]
    return _table([(f"{name} {side.ref}", ""), ("", "")], lines)


def _cells(diff: ManifestDiff) -> str:
    if diff.cells is None:
        return "<h2>Cells</h2><p>not compared, see above</p>"
    cells = diff.cells
    rows = [("only in A", cells.only_a), ("in both", cells.both), ("only in B", cells.only_b)]
    if cells.n_split_differs:
        rows.append(("in both, another split", cells.n_split_differs))
        rows += [(f"  {change}", n) for change, n in cells.split_changes.items()]
    table = _table([("cells", ""), ("", "n")], [(name, f"{n:,}") for name, n in rows])
    return f"<h2>Cells</h2>{chart_svg(overlap_chart(diff, cells))}{table}"


def _settings(diff: ManifestDiff) -> str:
    # Exclusions have a table of their own.
    changed = [change for change in diff.settings if not change.name.startswith("exclusions")]
    if not changed:
        return "<h2>Settings that differ</h2><p>none</p>"
    rows = [(change.name, setting(change.a), setting(change.b)) for change in changed]
    return "<h2>Settings that differ</h2>" + _table([("setting", ""), ("A", ""), ("B", "")], rows)


def _exclusions(diff: ManifestDiff) -> str:
    """Return a table of the cells that were left out, reason by reason."""
    of_a, of_b = diff.a.exclusions, diff.b.exclusions
    if not of_a and not of_b:
        return "<h2>Cells left out</h2><p>none, on either side</p>"
    rows = [
        (reason, *(f"{held[reason]:,}" if reason in held else "not asked" for held in (of_a, of_b)))
        for reason in {**of_a, **of_b}
    ]
    return "<h2>Cells left out</h2>" + _table([("reason", ""), ("A", "n"), ("B", "n")], rows)


def _diversity(diff: ManifestDiff) -> str:
    rows = [("donors", *change_of(diff.a.n_donors, diff.b.n_donors))]
    for column, of_a in diff.a.diversity.items():
        of_b = diff.b.diversity.get(column)
        if of_b is not None:
            rows += [
                (f"{column}: {name}", *change_of(of_a[key], of_b[key])) for key, name in MEASURES.items()
            ]
    return "<h2>Diversity of the training cells</h2>" + _table(
        [("", ""), ("A", "n"), ("B", "n"), ("B - A", "n")], rows
    )


def _shift(diff: ManifestDiff, shift: CompositionShift, *, top: int) -> str:
    moved = [mover for mover in shift.movers if mover.points]
    up, down = ([m for m in moved if (m.points > 0) == is_up] for is_up in (True, False))
    star = " (a cell labelled 'A || B' counts for both)" if shift.multivalued else ""
    a, b = shift.n_labels_a, shift.n_labels_b
    labels = counted(a, "label") if a == b else f"{a:,} → {b:,} labels"
    summary = f"Jensen-Shannon {shift.jensen_shannon_bits:.4f} bits; {labels}{star}"
    return (
        f'<h2>{escape(shift.column)}</h2><p class="faint">{escape(summary)}</p>'
        f"{chart_svg(composition_chart(diff, shift, top=top))}"
        f'<div class="sides">{_movers("enriched in B", up, "up", top)}'
        f"{_movers('depleted in B', down, 'down', top)}</div>"
    )


def _movers(title: str, movers: Sequence[Mover], style: str, top: int) -> str:
    if not movers:
        return f"<div><p>nothing is {escape(title)}</p></div>"
    rows = [
        (
            mover.label,
            percent(mover.share_a),
            percent(mover.share_b),
            f"{mover.points:+.2f}",
            mover.fold_shown,
        )
        for mover in movers[:top]
    ]
    heads = [(title, ""), ("share in A", "n"), ("share in B", "n"), ("points", f"n {style}"), ("fold", "n")]
    more = len(movers) - top
    left = f'<p class="faint">and {counted(more, "smaller difference")}</p>' if more > 0 else ""
    return f"<div>{_table(heads, rows)}{left}</div>"


def _numbers(shift: NumberShift) -> str:
    rows = []
    for name in QUANTILES:
        held = shift.quantiles_a.get(name), shift.quantiles_b.get(name)
        of_a, of_b = held
        change = "" if of_a is None or of_b is None else shown(of_b - of_a)
        rows.append((name, *("none" if value is None else shown(value) for value in held), change))
    rows.append(("cells without a value", f"{shift.n_missing_a:,}", f"{shift.n_missing_b:,}", ""))
    distance = shift.kolmogorov_smirnov
    summary = "not compared: one side has no values" if distance is None else f"{distance:.4f}"
    return f'<h2>{escape(shift.column)}</h2><p class="faint">Kolmogorov-Smirnov {summary}</p>' + _table(
        [("", ""), ("A", "n"), ("B", "n"), ("B - A", "n")], rows
    )


def _table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; each column has a title and the class of its cells."""

    def row(tag: str, texts: Iterable[Any]) -> str:
        cells = (
            f'<{tag} class="{style}">{escape(str(text))}</{tag}>'
            if style
            else f"<{tag}>{escape(str(text))}</{tag}>"
            for text, (_, style) in zip(texts, heads, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(row("td", texts) for texts in rows)
    return f"<table><thead>{row('th', (title for title, _ in heads))}</thead><tbody>{body}</tbody></table>"

"""A manifest as a page in the terminal."""

from __future__ import annotations

from string import hexdigits
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from curate.build.strategies.written import is_parts, write_parts
from curate.manifests.notices import notices
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from curate.manifests.document import ManifestDocument, TaskRecord

BAR_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def page(document: ManifestDocument, *, tags: Sequence[str] = (), top: int = 8) -> RenderableType:
    """Return what a person wants to know about a manifest: selection, corpus, splits, composition, diversity.

    Parameters
    ----------
    top
        Labels to show of each obs column.
    """
    title = Text(document.ref, style="bold")
    columns = [_composition(document, column, top=top) for column in document.composition]
    return Group(title, _facts(document, tags), *columns, _footnotes(document))


def bar(share: float, of: float, *, width: int = BAR_WIDTH) -> str:
    """Return a bar of up to `width` characters for `share` where `of` fills it."""
    eighths = round(8 * width * share / of) if of > 0 else 0
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest] if rest else "")


def percent(share: float) -> str:
    """Return a share as a percentage, small ones told apart from none."""
    return "<0.01 %" if 0 < share < 0.00005 else f"{100 * share:.2f} %"


def simulated(labels: Mapping[str, str | None]) -> str:
    """Return a line that says which corpora (name → label of their Census) are simulated; "" when none is."""
    named = [name for name, label in labels.items() if label and "simulated" in label.casefold()]
    if not named:
        return ""
    return f"simulated data, no real cells: corpus {', '.join(named)}"


def assignments(values: Mapping[str, Any]) -> str:
    """Return settings as ``name=value`` side by side."""
    return " ".join(f"{name}={_shown(value)}" for name, value in values.items())


def _facts(document: ManifestDocument, tags: Sequence[str]) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold cyan", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _lines(document, tags):
        facts.add_row(name, text)
    return facts


def _lines(document: ManifestDocument, tags: Sequence[str]) -> list[tuple[str, str]]:
    corpus, selection, splits = document.corpus, document.selection, document.splits
    available = selection.n_available or corpus.n_cells
    lines = [
        ("id", document.id),
        (
            "created",
            f"{document.created:%Y-%m-%d %H:%M} UTC by curate {document.software.get('curate', '?')}",
        ),
        (
            "corpus",
            f"{corpus.name} ({corpus.id[:12]}), {counted(corpus.n_cells, 'cell')}, recipe {corpus.recipe}",
        ),
        ("census", f"{corpus.release}, {corpus.organism}, {counted(document.genes.n, 'gene')}"),
        *([("label", corpus.label)] if corpus.label else []),
        ("strategy", f"{selection.strategy} {assignments(selection.parameters)}".strip()),
        (
            "cells",
            f"{selection.n_cells:,} of {available:,} ({percent(selection.n_cells / max(available, 1))})",
        ),
        ("donors", f"{document.n_donors:,}"),
        ("splits", f"by {splits.unit}, {_ratios(splits.ratios)}: {_counts(splits.counts)}"),
    ]
    optional = [
        ("tags", ", ".join(tags)),
        ("fraction", "" if selection.fraction is None else f"{selection.fraction:g}"),
        ("seed", "" if selection.seed is None else f"{selection.seed}, of the splits {splits.seed}"),
        ("where", selection.where or ""),
        ("embedding", (selection.embedding or "")[:12]),
        ("task", _task(selection.task)),
        ("notes", assignments({key: held for key, held in selection.notes.items() if key != "notice"})),
    ]
    records = [
        *(
            ("spike-in", f"{s.source}: {counted(s.n_cells, 'cell')}, {s.mode} {assignments(s.parameters)}")
            for s in document.spike_ins
        ),
        *(
            ("excluded", f"{counted(e.n_cells, 'cell')}: {e.reason} {assignments(e.parameters)}")
            for e in document.exclusions
        ),
        *(("notice", notice) for notice in notices(document)),
        *(("parent", f"{p.relation} {p.ref or ''} ({p.id[:12]})") for p in document.parents),
    ]
    return lines + [(name, text) for name, text in optional if text] + records


def _task(task: TaskRecord | None) -> str:
    if task is None:
        return ""
    decides = f"digest {task.digest[:12]}" if task.digest else "decides by its exclusions only"
    kinds = " and their kinds" if task.descendants and task.wanted else ""
    wanted = f"; {counted(len(task.wanted), 'type')}{kinds} ({', '.join(task.wanted)})" if task.wanted else ""
    if task.reference is None:
        return f"{task.name}, {task.kind}, {decides}{wanted}"
    held = task.reference
    cells = f"{held.n_train:,} cells for training, {held.n_held_out:,} held out"
    if held.kind == "corpus":
        cells = f"{counted(held.n_train, 'cell')} that match"
    used = "" if held.n_used is None else f", {held.n_used:,} of them used"
    split = f", split {assignments(held.split)}" if held.split else ""
    return f"{task.name}, {task.kind}, {decides}{wanted}; reference {held.name}: {cells}{used}{split}"


def _composition(document: ManifestDocument, column: str, *, top: int) -> Table:
    counts = document.composition[column]
    multivalued = sum(counts.values()) > document.n_cells
    table = Table(
        box=None, padding=(0, 2, 0, 0), title_justify="left", header_style="bold cyan", expand=False
    )
    table.add_column(f"\n{column}{' *' if multivalued else ''}", width=34, no_wrap=True, overflow="ellipsis")
    table.add_column("\ncells", justify="right", width=10, no_wrap=True)
    table.add_column("\nshare", justify="right", width=8, no_wrap=True)
    table.add_column(f"\n{counted(len(counts), 'label')}", width=BAR_WIDTH, style="cyan", no_wrap=True)
    largest = max(counts.values()) / document.n_cells
    for label, n in list(counts.items())[:top]:
        share = n / document.n_cells
        table.add_row(label, f"{n:,}", percent(share), bar(share, largest))
    if len(counts) > top:
        rest = sum(list(counts.values())[top:])
        table.add_row(
            Text(f"{len(counts) - top:,} more", style="dim"),
            f"{rest:,}",
            percent(rest / document.n_cells),
            "",
        )
    return table


def _footnotes(document: ManifestDocument) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan")
    table.add_column("\ndiversity")
    for name in ("labels", "Shannon bits", "inverse Simpson", "Gini-Simpson"):
        table.add_column(f"\n{name}", justify="right", no_wrap=True)
    for column, held in document.diversity.items():
        table.add_row(
            f"{column} of {'all' if held.split is None else held.split} cells",
            f"{held.n_labels:,}",
            f"{held.shannon_bits:.3f}",
            f"{held.inverse_simpson:.2f}",
            f"{held.gini_simpson:.4f}",
        )
    multivalued = any(sum(counts.values()) > document.n_cells for counts in document.composition.values())
    note = "* a cell labelled 'A || B' counts for both: shares may add to more than 1" if multivalued else ""
    return Group(table, *([Text(note, style="dim")] if note else []))


def _ratios(ratios: Mapping[Any, float]) -> str:
    return "/".join(f"{100 * ratio:g}" for ratio in ratios.values())


def _counts(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _shown(value: Any) -> str:
    if is_parts(value):
        return write_parts(value)
    if isinstance(value, (list, tuple)):
        return ",".join(str(held) for held in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    # The beginning of a fingerprint is enough to know it by.
    return text[:12] if len(text := str(value)) == 64 and not set(text) - set(hexdigits) else text

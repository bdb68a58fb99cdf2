"""Diversity as tables in the terminal, with bars, and as a tidy table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from curate.build.diversity.indices import INDICES, Value
from curate.build.diversity.report import VECTORS
from curate.manifests.page import bar, percent, simulated
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from curate.build.diversity.report import CorpusFacts, DiversityReport

BAR_WIDTH = 8
MOST_NOTICES = 3
HEADINGS = {
    "labels": "labels",
    "rarefied": "rarefied",
    "shannon": "Shannon\nbits",
    "inverse_simpson": "inverse\nSimpson",
    "gini_simpson": "Gini-\nSimpson",
    "rare_held": "rare\nlabels",
    "rare_cells": "rare\ncells",
    "vendi": "Vendi\nscore",
    "covered": "corpus\ncovered",
    "mean_distance": "mean\ndistance",
    "hausdorff": "partial\nHausdorff",
}
#: Indices that get a bar, which the largest value fills; and those told as a share of the corpus' too.
DRAWN = ("inverse_simpson", "vendi", "covered")
RELATIVE = ("inverse_simpson", "vendi")


def diversity_page(report: DiversityReport, *, width: int = 120) -> RenderableType:
    """Return the report as tables: one a column, one for the vectors; each corpus before its manifests.

    Parameters
    ----------
    width
        Characters that a line may have; bars and lesser indices are left out where they do not fit.
    """
    columns = [_table(report, subject, width) for subject in (*report.settings.columns, VECTORS)]
    spaced = [part for table in columns if table is not None for part in (table, Text())]
    return Group(*spaced, *_notes(report))


def diversity_table(report: DiversityReport) -> pl.DataFrame:
    """Return the report as one row a set of cells, subject and index.

    Returns
    -------
    DataFrame
        ref, id, corpus, series, size (share of the corpus' cells), seed, split, n_cells; subject (a column or
        "vectors"), index, unit; value, low, high (95 %), of_corpus. A share is a number from 0 to 1.
    """
    rows = [
        {
            "ref": held.ref,
            "id": held.id,
            "corpus": held.corpus,
            "is_corpus": held.is_corpus,
            "series": held.series,
            "size": held.size,
            "seed": held.seed,
            "split": held.split or "all",
            "n_cells": held.n_cells,
            "subject": subject,
            "index": index,
            "unit": INDICES[index].unit.replace("%", "share"),
            "value": value.value,
            "low": value.low,
            "high": value.high,
            "of_corpus": value.of_corpus,
        }
        for held in report.sets
        for (subject, index), value in report.values(held).items()
    ]
    numbers = dict.fromkeys(("size", "value", "low", "high", "of_corpus"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=numbers | {"seed": pl.Int64}, infer_schema_length=None)


def _table(report: DiversityReport, subject: str, width: int) -> Table | None:
    """Return the table of a subject, with as many of its columns as there is room for."""
    values = {held.ref: report.values(held) for held in report.sets}
    indices = [name for name in INDICES if any((subject, name) in of for of in values.values())]
    if not indices:
        return None
    for left_out in ((), ("bar",), ("bar", "gini_simpson"), ("bar", "gini_simpson", "rarefied")):
        table = _drawn(
            report, subject, [name for name in indices if name not in left_out], "bar" not in left_out
        )
        if _natural_width(table) <= width:
            break
    return table


def _natural_width(table: Table) -> int:
    return Console(width=1000).measure(table).maximum


def _drawn(report: DiversityReport, subject: str, indices: list[str], has_bars: bool) -> Table:
    values = {held.ref: report.values(held) for held in report.sets}
    largest = {
        name: max(
            (of[subject, name].value or 0.0 for of in values.values() if (subject, name) in of), default=0.0
        )
        for name in DRAWN
    }
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold cyan", expand=False)
    table.add_column(f"\n{subject if subject != VECTORS else _space_title(report)}", no_wrap=True)
    table.add_column("\ncells", justify="right", no_wrap=True)
    for name in indices:
        table.add_column(_heading(report, subject, name), justify="right", no_wrap=True)
        if name in RELATIVE and report.settings.has_corpus:
            table.add_column("of the\ncorpus", justify="right", no_wrap=True)
        if name in DRAWN and has_bars:
            table.add_column("", width=BAR_WIDTH, style="cyan", no_wrap=True)
    for held in report.sets:
        row: list[str | Text] = [Text(held.ref, style="bold" if held.is_corpus else ""), f"{held.n_cells:,}"]
        for name in indices:
            value = values[held.ref].get((subject, name), Value(None))
            row.append(_text(name, value))
            if name in RELATIVE and report.settings.has_corpus:
                row.append("-" if value.of_corpus is None else f"{100 * value.of_corpus:.0f} %")
            if name in DRAWN and has_bars:
                row.append(bar(value.value or 0.0, largest[name], width=BAR_WIDTH))
        table.add_row(*row)
    return table


def _heading(report: DiversityReport, subject: str, name: str) -> str:
    if name == "rarefied":
        n = next(iter(report.sets)).labels[subject].rarefied_to
        return f"rarefied\nto {n:,}"
    space = report.settings.space
    if name == "vendi" and space is not None and space.order != 1:
        return f"Vendi\nq = {space.order:g}"
    heading = HEADINGS[name]
    return heading if "\n" in heading else f"\n{heading}"


def _text(name: str, value: Value) -> str:
    if value.value is None:
        return "-"
    if name == "rare_cells":
        return percent(value.value)
    text = INDICES[name].text(value.value)
    if name == "covered" and value.low is not None and value.high is not None and value.low < value.high:
        return f"{text} ± {100 * (value.high - value.low) / 2:.1f}"
    return text


def _space_title(report: DiversityReport) -> str:
    names = dict.fromkeys(corpus.embedding for corpus in report.corpora)
    return f"embedding {', '.join(str(name) for name in names)}"


def _notes(report: DiversityReport) -> list[Text]:
    """Return what a reader has to know, a line each."""
    notes = [f"counted: {_counted(report)}", *_rare_notes(report)]
    space = report.settings.space
    if space is not None and space.vendi and space.features == "expression":
        notes.append("Vendi score: of the scaled expression of the embedding's variable genes")
    for corpus in report.corpora:
        if corpus.radius is not None:
            notes.append(_coverage_note(report, corpus))
    notes += [f"notice: {each}" for each in notices(report)]
    line = simulated({corpus.name: corpus.label for corpus in report.corpora})
    texts = [Text(note, style="dim") for note in notes]
    return [*texts, *([Text(line, style="yellow")] if line else [])]


def notices(report: DiversityReport) -> list[str]:
    """Return what may mislead, a sentence each."""
    found = []
    if len(report.corpora) > 1:
        names = ", ".join(f"{corpus.name} ({corpus.id[:8]})" for corpus in report.corpora)
        found.append(
            f"{len(report.corpora)} corpora: {names}; each manifest is beside its own, and Vendi scores and "
            "distances of different corpora do not compare"
        )
    asked = report.settings.split
    without = [held.ref for held in report.sets if asked and not held.is_corpus and held.split is None]
    if without:
        found.append(f"no {asked} cells in {', '.join(without)}: all their cells are counted")
    elsewhere = {held.ref: held.n_elsewhere for held in report.sets if held.n_elsewhere}
    found += _folded(elsewhere, "of other sources than the corpus left out")
    without_direction = {
        held.ref: held.space.n_without_direction
        for held in report.sets
        if held.space and held.space.n_without_direction
    }
    return found + _folded(without_direction, "with a zero vector left out of Vendi")


def _folded(counts: Mapping[str, int], what: str) -> list[str]:
    """Return a notice a manifest, or one of many."""
    if len(counts) <= MOST_NOTICES:
        return [f"{ref}: {counted(n, 'cell')} {what}" for ref, n in counts.items()]
    least, most = min(counts.values()), max(counts.values())
    n = counted(most, "cell") if least == most else f"{least:,} to {counted(most, 'cell')}"
    return [f"{len(counts)} manifests, {next(iter(counts))} the first: {n} {what}"]


def _counted(report: DiversityReport) -> str:
    split = report.settings.split
    return "all cells" if split is None else f"{split} cells of each manifest, all cells of a corpus"


def _rare_notes(report: DiversityReport) -> list[str]:
    settings, first = report.settings, next(iter(report.sets))
    n_rare = [f"{labels.rare.n_rare:,} of {column}" for column, labels in first.labels.items()]
    return (
        [
            f"rare: under {100 * settings.rare_below:g} % of the corpus ({', '.join(n_rare)}); held with "
            f"{settings.rare_cells:,} cells or more"
        ]
        if n_rare
        else []
    )


def _coverage_note(report: DiversityReport, corpus: CorpusFacts) -> str:
    space = report.settings.space
    assert space is not None
    n_probes = corpus.n_probes or 0
    measured = "all" if n_probes == corpus.n_cells else f"{n_probes:,} random"
    chosen = "given" if space.radius is not None else "median distance between neighbours among these"
    return (
        f"covered: within r = {corpus.radius:.4g} of a chosen cell, from {measured} cells of corpus "
        f"{corpus.name} (r: {chosen}); partial Hausdorff leaves out the farthest "
        f"{100 * space.left_out_fraction:g} %"
    )

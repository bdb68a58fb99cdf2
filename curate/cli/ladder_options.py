"""Several manifests at once: the options of a ladder, and how it is reported."""

from __future__ import annotations

import json
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from curate.cli.companions import goes_with_option, is_given
from curate.cli.numbers import Fractions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from curate.build.ladder import Ladder
    from curate.build.ladder_lines import Step

MOST_NOTICES = 5


def ladder_options(function: Callable[..., None]) -> Callable[..., None]:
    """Offer the options of a ladder; the command gets them as `ladder`, `is_nested` and `seed`."""

    @goes_with_option("is_nested", other="ladder")
    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        if (n_seeds := given.pop("n_seeds")) is not None:
            if is_given("seed"):
                raise click.UsageError("--seeds N is short for --seed 0-(N-1): give one of them")
            given["seed"] = list(range(n_seeds))
        function(*args, **given)

    options = (
        click.option(
            "--ladder",
            type=Fractions(),
            help="Fractions of a scaling study, such as 0.001,0.01,1 or 0.001:1:10: all manifests at once.",
        ),
        click.option(
            "--nested",
            "is_nested",
            is_flag=True,
            help="With --ladder: every step contains the one before it.",
        ),
        click.option(
            "--seeds",
            "n_seeds",
            metavar="N",
            type=click.IntRange(min=1),
            help="So many seeds, from 0 on: 5 is --seed 0-4.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def report(ladder: Ladder, *, as_json: bool) -> None:
    """Print a ladder: one row for each strategy and fraction, over the seeds."""
    from curate.manifests.notices import notices

    for line in [*_told(ladder, notices), *_told_of_spiked(ladder)]:
        click.echo(f"notice: {line}", err=True)
    if as_json:
        content = ladder.document.content()
        new = [step.is_new for step in ladder.steps]
        for row, is_new in zip(content["steps"], new, strict=True):
            row["is_new"] = is_new
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    from curate.manifests.page import simulated

    table = Table(
        box=None,
        header_style="bold",
        caption="over the seeds: train in the mean; types of the training cells and their Shannon entropy in "
        "the mean; the most types that training cells lack",
        caption_justify="left",
    )
    table.add_column("strategy", no_wrap=True, overflow="fold")
    for title in ("fraction", "cells", "seeds", "train", "types", "bits", "lacking"):
        table.add_column(title, justify="right")
    table.add_column("")
    for steps in _rungs(ladder):
        documents = [step.document for step in steps]
        held = [document.diversity["cell_type"] for document in documents]
        lacking = [len((d.splits.labels_outside_train or {}).get("cell_type", {})) for d in documents]
        n_new = sum(step.is_new for step in steps)
        table.add_row(
            # Broken where the spike-ins begin: the name of a strategy stays whole.
            ladder.document.called(steps[0].record).replace("+", "\n+"),
            f"{steps[0].record.fraction:g}",
            f"{max(document.n_cells for document in documents):,}",
            f"{len(steps)}",
            f"{_mean([document.splits.counts.get('train', 0) for document in documents]):,.0f}",
            f"{_mean([each.n_labels for each in held]):.4g}",
            f"{_mean([each.shannon_bits for each in held]):.3f}",
            f"{max(lacking)}",
            "new" if n_new == len(steps) else f"{n_new} new" if n_new else "was there",
        )
    console = Console(highlight=False)
    document = ladder.document
    how = "nested" if document.nested else "not nested"
    console.print(
        f"ladder {document.ref}  {document.id[:12]}  {len(document.steps)} manifests, {how}", markup=False
    )
    console.print(table)
    if line := simulated({document.corpus.name: document.corpus.label}):
        console.print(line)


def _rungs(ladder: Ladder) -> list[list[Step]]:
    """Return the steps of each strategy and fraction, over the seeds; spiked ones apart."""
    rungs: dict[tuple[str, bool, float], list[Step]] = {}
    for step in ladder.steps:
        record = step.record
        rungs.setdefault((record.strategy, record.spiked, record.fraction), []).append(step)
    return list(rungs.values())


def _told(ladder: Ladder, notices: Callable[[Any], list[str]]) -> list[str]:
    """Return a notice for each strategy that has any: the first, and how many more manifests have some."""
    by_line: dict[str, list[tuple[Step, list[str]]]] = {}
    for step in ladder.steps:
        if lines := notices(step.document):
            by_line.setdefault(ladder.document.called(step.record), []).append((step, lines))
    told = []
    for having in by_line.values():
        step, lines = having[0]
        others = f" ({len(having) - 1} more of its manifests have notices)" if len(having) > 1 else ""
        told.append(f"{step.record.ref}: {lines[0]}{others}")
    if len(told) > MOST_NOTICES:
        more = len(told) - MOST_NOTICES
        told = [*told[:MOST_NOTICES], f"and {more} more strategies; see `curate manifests show MANIFEST`"]
    return told


def _told_of_spiked(ladder: Ladder) -> list[str]:
    """Return a notice where the steps nest and the spiked ones do not."""
    spike_ins = ladder.document.spike_ins
    if spike_ins is None or spike_ins.nested is not False:
        return []
    return [
        f"the spiked steps do not nest: one lacks {spike_ins.n_lost:,} cells of the one before it, as other "
        "training cells make room at every step; the cells of sources do, and all do with --spike-in-mode add"
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

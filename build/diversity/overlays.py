"""Lines of a chart that lie on one another: which they are, so that both are drawn to be seen, and told."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Two lines closer than this share of the height of a panel are one to the eye: two pixels of 150.
CLOSE = 0.015
MOST_CHARACTERS = 130


@dataclass(frozen=True)
class Overlay:
    """A line that lies on an earlier one, at every size that both have.

    Attributes
    ----------
    n_panels, n_shared
        In how many panels it does, of those that show both.
    """

    upper: str
    lower: str
    n_panels: int
    n_shared: int


def find_overlays(table: pl.DataFrame, series: Sequence[str]) -> list[Overlay]:
    """Return which lines lie on earlier ones in half of the panels or more.

    Parameters
    ----------
    table
        subject, index, series, size, value: a panel is a subject and an index, a line the mean over seeds.
    series
        In the order in which they are drawn.
    """
    lines = table.group_by("subject", "index", "series", pl.col("size").round_sig_figs(3)).agg(
        pl.col("value").mean()
    )
    height = (pl.col("value").max() - pl.col("value").min()).over("subject", "index")
    lines = lines.with_columns(height.alias("height"))
    pairs = lines.join(lines, on=["subject", "index", "size"], suffix="_below")
    off = (pl.col("value") - pl.col("value_below")).abs()
    panels = pairs.group_by("series", "series_below", "subject", "index").agg(
        (off <= CLOSE * pl.col("height")).all().alias("is_on")
    )
    counted = panels.group_by("series", "series_below").agg(pl.col("is_on").sum(), pl.len())
    found = {(upper, lower): (int(n_on), int(n)) for upper, lower, n_on, n in counted.iter_rows()}
    return [
        Overlay(upper, lower, *found[upper, lower])
        for at, upper in enumerate(series)
        for lower in series[:at]
        if (upper, lower) in found and 2 * found[upper, lower][0] >= found[upper, lower][1]
    ]


def levels_of(series: Sequence[str], overlays: Sequence[Overlay]) -> list[int]:
    """Return how many lines lie below each, one under the other: 0 is solid, more are dashed ever shorter."""
    level: dict[str, int] = {}
    for name in series:
        level[name] = max((1 + level[each.lower] for each in overlays if each.upper == name), default=0)
    return [level[name] for name in series]


def told(overlays: Sequence[Overlay], bases: Mapping[str, str]) -> list[str]:
    """Return lines of a caption that say which lines lie on which, those of the nearest below only.

    Parameters
    ----------
    bases
        Of series of spiked subsets, the series of those without.
    """
    lines = []
    if bases:
        lines.append(
            "Dashed and hollow, in the colour of the subsets without: spiked subsets, of which the cells of "
            "the corpus are counted"
        )
    of_base = [each for each in overlays if bases.get(each.upper) == each.lower]
    if of_base:
        lines.append(f"They lie on the line of those without, nearly: {_named(of_base, 'lower')}")
    nearest = {each.upper: each for each in overlays if each.upper not in bases and each.lower not in bases}
    if nearest:
        lines.append(f"Dashed as they lie on another line, nearly: {_named(list(nearest.values()), 'both')}")
    return [part for line in lines for part in wrap(line, MOST_CHARACTERS)]


def _named(overlays: Sequence[Overlay], which: Literal["lower", "both"]) -> str:
    return ", ".join(
        f"{each.lower if which == 'lower' else f'{each.upper} on {each.lower}'} "
        f"({each.n_panels} of {each.n_shared} panels)"
        for each in overlays
    )

"""How the chosen cells are split: the options, the same for every command that chooses cells."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from curate.cli.companions import goes_with
from curate.cli.numbers import Numbers

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("split_by", "split_ratios", "split_seed", "split_stratify_by")


def split_options(function: Callable[..., None]) -> Callable[..., None]:
    """Offer the options of splits; the command gets them as one dict `splits`, the arguments of `build`."""

    @goes_with(
        "split_stratify_by",
        needs="--split-by of a unit larger than a cell",
        is_met=lambda values: values["split_by"] != "cell",
    )
    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        splits = {name: given.pop(name) for name in NAMES}
        function(*args, splits=splits, **given)

    options = (
        click.option(
            "--split-by",
            metavar="UNIT|COLUMN[,COLUMN...]",
            default="cell",
            show_default=True,
            help="What stays in one split: cell, donor, tech_sample, dataset, or obs columns.",
        ),
        click.option(
            "--split-ratios",
            type=Numbers(float),
            default="0.8,0.1,0.1",
            show_default=True,
            help="Shares of train, val and test.",
        ),
        click.option(
            "--split-seed", type=int, default=0, show_default=True, help="Shared by all subsets to compare."
        ),
        click.option(
            "--split-stratify-by",
            metavar="COLUMN[,COLUMN...]|none",
            default="cell_type",
            show_default=True,
            help="With units larger than a cell: labels that are to have these shares as well.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command

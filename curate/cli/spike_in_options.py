"""What a build spikes its subsets with: the options."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from curate.cli.companions import goes_with, goes_with_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.build.spike_ins import SpikeIns
    from curate.corpus import Corpus


class Shares(click.ParamType[tuple[str, float]]):
    """A name and a share, joined by an equals sign."""

    name = "NAME=SHARE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return the name and the share of "screen=0.1"."""
        if isinstance(value, tuple):
            return str(value[0]), float(value[1])
        name, equals, share = str(value).rpartition("=")
        try:
            return name if equals and name else self.fail("no name"), float(share)
        except (ValueError, click.BadParameter):
            self.fail(f"{value!r} is no source and share; write NAME=SHARE, such as screen=0.1")


class SpikeInOptions:
    """What was given on the command line."""

    def __init__(
        self, shares: tuple[tuple[str, float], ...], mode: str, balance: str, *, allow_uncompared: bool
    ) -> None:
        self.shares = shares
        self.mode = mode
        self.balance = balance
        self.allow_uncompared = allow_uncompared

    def of(self, corpus: Corpus) -> SpikeIns | None:
        """Return what to spike with, from the sources of a corpus; None when nothing was asked for."""
        if not self.shares:
            return None
        from curate.build.spike_ins import plan_spike_ins
        from curate.sources.source import find_source

        shares = [(find_source(corpus, name), share) for name, share in self.shares]
        return plan_spike_ins(
            shares, mode=self.mode, balance=self.balance, allow_uncompared=self.allow_uncompared
        )


def spike_in_options(function: Callable[..., None]) -> Callable[..., None]:
    """Offer the options of spike-ins; the command gets them as one `spike_ins: SpikeInOptions`."""

    @goes_with_option("spike_in_mode", "spike_in_balance", other="spike_in")
    @goes_with(
        "allow_uncompared",
        needs="--spike-in or --exclude-overlap",
        is_met=lambda values: values["spike_in"] or values["exclude_overlap"],
    )
    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        shares = given.pop("spike_in")
        mode, balance = given.pop("spike_in_mode"), given.pop("spike_in_balance")
        uncompared = given.pop("allow_uncompared")
        function(*args, spike_ins=SpikeInOptions(shares, mode, balance, allow_uncompared=uncompared), **given)

    options = (
        click.option(
            "--spike-in",
            type=Shares(),
            multiple=True,
            help="Beside each subset, one with this share of its training cells from a source; repeatable.",
        ),
        click.option(
            "--spike-in-mode",
            type=click.Choice(["replace", "add"]),
            default="replace",
            show_default=True,
            help="Whether they take the place of training cells or join them.",
        ),
        click.option(
            "--spike-in-balance",
            type=click.Choice(["none", "perturbation"]),
            default="none",
            show_default=True,
            help="Draw uniformly, or evenly over the perturbations.",
        ),
        click.option(
            "--allow-uncompared",
            is_flag=True,
            help="Spike with a source that was not compared with a large or remote corpus, or source, or "
            "whose content cannot be compared; leave out an evaluation set though nothing of it can be.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command

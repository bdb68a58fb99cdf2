"""The stopping rule on simulated tasks whose saturation is known: how near it stops, and at what cost."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import numpy as np

from benchmarks.table import Row, report
from curate.evaluate.advise.climb import climb
from curate.evaluate.advise.rule import MIN_SIZES, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from curate.evaluate.advise.climb import Climb

    Floats = NDArray[np.float64]
    Truth = Callable[[Floats], Floats]

N_ALL = 200_000.0
LADDER = N_ALL * np.array([0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1])
LEAST = LADDER[0]
SEED_SD = 0.01
NEAR, SHARE = 0.9, 0.25


def _exponential(low: float, high: float) -> Callable[[np.random.Generator], Truth]:
    def draw(rng: np.random.Generator) -> Truth:
        scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        return lambda n: 0.8 - 0.3 * np.exp(-n / scale)

    return draw


def _rational(low: float, high: float) -> Callable[[np.random.Generator], Truth]:
    def draw(rng: np.random.Generator) -> Truth:
        scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        return lambda n: 0.8 - 0.3 / (1 + n / scale)

    return draw


def _power(low: float, high: float) -> Callable[[np.random.Generator], Truth]:
    def draw(rng: np.random.Generator) -> Truth:
        exponent = float(rng.uniform(low, high))
        return lambda n: 0.8 - 0.3 * (n / LEAST) ** -exponent

    return draw


def _flat(rng: np.random.Generator) -> Truth:
    level = float(rng.uniform(0.4, 0.9))
    return lambda n: level + 0 * n


def _lognormal(rng: np.random.Generator) -> Truth:
    """A shape of no family: it rises as the normal distribution function of log n."""
    from scipy.special import ndtr

    middle = float(np.log(rng.uniform(200, 1_500)))
    return lambda n: 0.5 + 0.3 * ndtr((np.log(n) - middle) / 0.9)


#: Name -> how a truth of this kind is drawn, and whether it is held against the target: those that rise, and
#: saturate early.
TRUTHS: dict[str, tuple[Callable[[np.random.Generator], Truth], bool]] = {
    "saturates early: exponential": (_exponential(300, 4_000), True),
    "saturates early: rational": (_rational(50, 400), True),
    "saturates early: power law, exponent 0.6 to 1.2": (_power(0.6, 1.2), True),
    "saturates early: of no family": (_lognormal, True),
    "flat": (_flat, False),
    "saturates late: exponential": (_exponential(4_000, 20_000), False),
    "never: power law, exponent 0.05 to 0.25": (_power(0.05, 0.25), False),
}


@dataclass(frozen=True)
class _Run:
    """How far from the truth, in steps, and at what share of the ladder's cells."""

    distance: int
    of_manifest: int
    share: float
    share_of_truth: float
    is_early: bool
    verdict: str


@click.command()
@click.option("--runs", default=50, show_default=True, type=click.IntRange(min=1))
@click.option("--tolerance", default=0.01, show_default=True)
@click.option("--sd", "sds", multiple=True, type=float, default=(0.005, 0.003, 0.01, 0.02), show_default=True)
@click.option("--seeds", default="3-5", show_default=True, help="At first and at most; repeat with others.")
def command(*, runs: int, tolerance: float, sds: tuple[float, ...], seeds: str) -> None:
    """Climb simulated ladders of 11 steps; the first --sd is held against the target."""
    least, _, most = seeds.partition("-")
    rule = Rule(tolerance, n_seeds=int(least), most_seeds=int(most or least))
    rows: list[Row] = []
    start = time.perf_counter()
    for sd in sds:
        for at, (name, (draw, _)) in enumerate(TRUTHS.items()):
            held = [_one(draw, rule, sd, np.random.default_rng([run, at])) for run in range(runs)]
            rows.append(_row(f"sd {sd:g}, {name}", held))
            click.echo(" | ".join(rows[-1].fields), err=True)
        rising = [draw for draw, is_early in TRUTHS.values() if is_early]
        mixed = [
            _one(rising[run % len(rising)], rule, sd, np.random.default_rng([run, len(TRUTHS)]))
            for run in range(runs)
        ]
        what = f"sd {sd:g}, {runs} others of the {len(rising)} that rise and saturate early"
        rows.append(_row(what, mixed, has_target=sd == sds[0]))
    each = (time.perf_counter() - start) / (runs * (len(TRUTHS) + 1) * len(sds))
    report("advise", "Stopping rule on simulated tasks", rows, notes=_notes(rule, runs, each))


def _one(
    draw: Callable[[np.random.Generator], Truth], rule: Rule, sd: float, rng: np.random.Generator
) -> _Run:
    truth = draw(rng)
    levels, noise = rng.normal(0, SEED_SD, rule.most_seeds), rng.normal(0, sd, (LADDER.size, rule.most_seeds))
    values = truth(LADDER)
    found = climb(
        LADDER.tolist(), lambda step, seed: float(values[step] + levels[seed] + noise[step, seed]), rule
    )
    gains = values[-1] - values
    true = int(np.argmax(gains <= rule.tolerance))
    judgement = found.judgement
    assert judgement is not None
    return _Run(
        found.last - max(true, MIN_SIZES - 1),
        _manifest(found) - true,
        found.share,
        float(LADDER[: max(true, MIN_SIZES - 1) + 1].sum() / LADDER.sum()),
        bool(gains[found.last] > rule.tolerance),
        judgement.verdict,
    )


def _manifest(found: Climb) -> int:
    judgement = found.judgement
    if judgement is None or judgement.enough is None:
        return found.last
    return found.sizes.index(judgement.enough)


def _row(name: str, held: list[_Run], *, has_target: bool = False) -> Row:
    near = float(np.mean([abs(each.distance) <= 1 for each in held]))
    of_manifest = float(np.mean([abs(each.of_manifest) <= 1 for each in held]))
    shares = [each.share for each in held]
    early = float(np.mean([each.is_early for each in held]))
    known = float(np.mean([each.share_of_truth for each in held]))
    verdicts = ", ".join(f"{name} {n}" for name, n in Counter(each.verdict for each in held).most_common())
    mean = float(np.mean(shares))
    met = near >= NEAR and mean < SHARE if has_target else None
    return Row(
        name,
        f"{near:.0%} within one step (manifest {of_manifest:.0%}); too early {early:.0%}; {verdicts}",
        "whole ladder",
        f"{mean:.1%} of its cells (median {np.median(shares):.1%}); who knows the truth {known:.1%}",
        f">= {NEAR:.0%}, < {SHARE:.0%}" if has_target else "",
        met,
    )


def _notes(rule: Rule, runs: int, each: float) -> list[str]:
    return [
        f"{runs} runs a row; a ladder of {LADDER.size} steps from {LADDER[0]:,.0f} to {LADDER[-1]:,.0f} "
        "cells; "
        f"tolerance {rule.tolerance:g}; {rule.n_seeds} seeds, in doubt up to {rule.most_seeds}",
        "truth: the first step over which the whole corpus brings no more than the tolerance on the true "
        "curve; "
        f"the rule cannot stop before {MIN_SIZES} steps, so that the distance of an earlier truth is counted "
        "from there",
        "manifest: the one it says to use, which may lie below where it stopped, against the truth itself",
        "too early: more than the tolerance was still to be had where it stopped; undecided: it went to the "
        "end "
        "of the ladder and could not tell",
        "who knows the truth: cells of all steps up to it with all seeds; the rule runs the last step with "
        "two seeds where they are enough",
        "flat: left once a tenfold range of sizes is known to have brought less than the tolerance, the "
        "fourth step at the earliest; where the noise hides that, later",
        f"sd: of a run about its curve; seeds differ by {SEED_SD} in all their runs; {1000 * each:.0f} ms a "
        "climb",
    ]

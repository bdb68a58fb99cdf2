"""An answer in two sentences, and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from curate.evaluate.report.look import metric_name, share
from curate.wording import counted

if TYPE_CHECKING:
    from curate.evaluate.advise.advise import Advice
    from curate.evaluate.advise.climb import Climb
    from curate.evaluate.advise.rule import Judgement
    from curate.evaluate.saturation.fit import Interval


def sentences(advice: Advice) -> tuple[str, str]:
    """Return the answer with its evidence, and what it took against the full ladder."""
    return _answer(advice), _saved(advice)


def _answer(advice: Advice) -> str:
    climb, rule, judgement = advice.climb, advice.rule, advice.climb.judgement
    document = advice.manifest.document
    n_all = climb.sizes[-1]
    where = (
        f"{advice.manifest.ref} ({document.n_cells:,} cells, {share(document.n_cells / n_all)} of the corpus)"
    )
    score = f"{advice.model} has {_mean(advice):.3f} in {metric_name(advice.metric)} there"
    n_seeds = int((climb.curve.n_cells == document.n_cells).sum())
    seeds = f"mean of {counted(n_seeds, 'seed')}"
    if judgement is None:
        return (
            f"Undecided: {counted(len(climb.steps), 'size')} cannot show a curve; {where} is the largest "
            f"that was run, and {score} ({seeds})."
        )
    more = f"all {n_all:,.0f} cells bring more than {rule.tolerance:g}"
    if judgement.verdict == "saturated" and judgement.enough_gain is not None:
        return (
            f"Use {where}: {score} ({seeds}), and the probability that {more} over it is "
            f"{_percent(judgement.enough_probability or 0.0)} (expected {_gain(judgement.enough_gain)})."
        )
    noise = f"the standard deviation of a run being {judgement.sd:.2g}"
    if climb.sizes[climb.last] >= n_all:
        before = f"{climb.sizes[climb.steps[-2]]:,.0f} cells"
        if judgement.verdict == "rising":
            return (
                f"Use the whole corpus, {advice.manifest.ref} ({n_all:,.0f} cells): {score} "
                f"({seeds}), and over {before} it brings more than "
                f"{rule.tolerance:g} with a probability of {_percent(judgement.probability)} "
                f"({_gain(judgement.gain)})."
            )
        return (
            f"Undecided: whether {more} over {before} cannot be told, {noise} (probability "
            f"{_percent(judgement.probability)}, {_gain(judgement.gain)}); with {advice.manifest.ref} "
            f"{score} ({seeds})."
        )
    if judgement.verdict == "rising":
        return (
            f"More cells pay: {more} over {where} with a probability of {_percent(judgement.probability)} "
            f"(expected {_gain(judgement.gain)}); {score} ({seeds})."
        )
    return (
        f"Undecided: the probability that {more} over {where}, the largest that was run, is "
        f"{_percent(judgement.probability)} (expected {_gain(judgement.gain)}), {noise}; {score} ({seeds})."
    )


def _saved(advice: Advice) -> str:
    climb = advice.climb
    runs = f"{counted(climb.curve.n_runs, 'model')} on {climb.n_cells:,.0f} cells in all"
    whole = (
        f"the {climb.n_cells_of_all:,.0f} of the whole ladder of {counted(len(climb.sizes), 'step')} with "
        f"{counted(climb.curve.n_seeds, 'seed')}"
    )
    took = f"That took {runs}, {_percent(climb.share)} of {whole}: {_percent(1 - climb.share)} are saved"
    if climb.share >= 1:
        took = f"That took {runs}, all of {whole}: nothing is saved"
    if advice.proxy_climb is not None:
        proxy = advice.proxy_climb
        runs = counted(proxy.curve.n_runs, "model")
        took += f"; before that, {runs} of {advice.proxy} on {proxy.n_cells:,.0f} cells found the region"
    return f"{took}."


def cautions(advice: Advice) -> list[str]:
    """Return what stands against the answer: a baseline that is better; models not trained to the end."""
    found = []
    sign, mean = _sign(advice), _mean(advice)
    if advice.baselines:
        name, best = max(advice.baselines.items(), key=lambda each: sign * each[1])
        if sign * (best - mean) > 0:
            found.append(
                f"{name}, which needs no training, has {best:.3f} in {metric_name(advice.metric)} on the "
                "same cells"
            )
    n_runs = advice.climb.curve.n_runs
    if advice.n_improving > n_runs / 2:
        found.append(_unfinished(advice.n_improving, n_runs))
    return found


def _unfinished(n_improving: int, n_runs: int) -> str:
    return (
        f"{n_improving} of {counted(n_runs, 'model')} were still improving when their epochs ended, "
        "so that longer training may bring more than cells: raise --set max_epochs=, or give a budget"
    )


def to_json(advice: Advice) -> dict[str, Any]:
    """Return all of it but the results."""
    return {
        "task": advice.task,
        "model": advice.model,
        "strategy": advice.strategy,
        "metric": advice.metric,
        "tolerance": advice.rule.tolerance,
        "risk": advice.rule.risk,
        "answer": list(sentences(advice)),
        "cautions": cautions(advice),
        "label": advice.label,
        "manifest": {
            "ref": advice.manifest.ref,
            "id": advice.manifest.id,
            "n_cells": advice.manifest.document.n_cells,
        },
        "baselines": dict(advice.baselines),
        "n_trained": advice.n_trained,
        "n_improving": advice.n_improving,
        **_climbed(advice.climb),
        "proxy": None
        if advice.proxy_climb is None
        else {"model": advice.proxy, **_climbed(advice.proxy_climb)},
    }


def _climbed(climb: Climb) -> dict[str, Any]:
    curve = climb.curve
    return {
        "verdict": climb.judgement.verdict if climb.judgement else "undecided",
        "judgements": [
            {"n_cells": climb.sizes[step], **_judgement(judgement)} for step, judgement in climb.judged
        ],
        "runs": [
            {"n_cells": n_cells, "seed": seed, "score": score}
            for n_cells, seed, score in zip(
                curve.n_cells.tolist(), curve.seeds.tolist(), curve.scores.tolist(), strict=True
            )
        ],
        "ladder": list(climb.sizes),
        "cells_trained_on": climb.n_cells,
        "cells_of_whole_ladder": climb.n_cells_of_all,
        "share": climb.share,
    }


def _judgement(judgement: Judgement) -> dict[str, Any]:
    found = {key: held for key, held in vars(judgement).items() if key not in ("gain", "enough_gain")}
    found["gain"] = vars(judgement.gain)
    found["enough_gain"] = None if judgement.enough_gain is None else vars(judgement.enough_gain)
    return found


def _mean(advice: Advice) -> float:
    curve = advice.climb.curve
    held = curve.scores[curve.n_cells == advice.manifest.document.n_cells]
    return float(held.mean()) * _sign(advice)


def _sign(advice: Advice) -> float:
    """Return -1 where lower is better: scores of a curve are turned then."""
    higher = advice.results.filter(advice.results["metric"] == advice.metric)["higher_is_better"]
    return 1.0 if higher[0] else -1.0


def _gain(gain: Interval) -> str:
    # As many decimals as the interval is exact to.
    width = gain.high - gain.low
    digits = max(0, 2 - math.ceil(math.log10(width))) if 0 < width < math.inf else 3
    estimate, low, high = (f"{each:+.{digits}f}" for each in (gain.estimate, gain.low, gain.high))
    return f"{estimate}, 95 % interval {low} to {high}"


def _percent(share: float) -> str:
    if share >= 0.9995:
        return "over 99.9 %"
    return "under 0.1 %" if share < 0.001 else f"{100 * share:.3g} %"

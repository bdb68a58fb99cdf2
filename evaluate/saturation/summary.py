"""The saturation table: a row a curve, with all that its runs can say.

1. the study's point, and the plateau that the runs can stand for;
2. the family that fits best, how the others compare, its parameters;
3. what twice the largest subset, and the whole corpus, would bring over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from curate.errors import SaturationError
from curate.evaluate.saturation.aicc import aicc_of_constant, akaike_weights
from curate.evaluate.saturation.families import FAMILIES
from curate.evaluate.saturation.fit import fit
from curate.evaluate.saturation.outlook import Outlook
from curate.evaluate.saturation.points import plateau, study_point
from curate.evaluate.saturation.runs import CURVE, curve_of, curves_of, n_of_all
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.evaluate.saturation.curve import Curve
    from curate.evaluate.saturation.fit import Interval

CONSTANT: Final = "constant"

_TEXT: Final[dict[str, pl.DataType]] = dict.fromkeys(CURVE, pl.String())
SCHEMA: Final[dict[str, pl.DataType]] = (
    _TEXT
    | dict.fromkeys(("n_sizes", "n_seeds", "n_runs"), pl.Int64())
    | dict.fromkeys(("largest", "largest_fraction", "best", "study_point", "study_fraction"), pl.Float64())
    | {"verdict": pl.String()}
    | dict.fromkeys(
        ("plateau", "plateau_fraction", "plateau_low", "plateau_high", "tolerance", "largest_gain"),
        pl.Float64(),
    )
    | {"family": pl.String()}
    | {f"weight_{name}": pl.Float64() for name in (CONSTANT, *FAMILIES)}
    | {
        f"{name}{end}": pl.Float64()
        for name in ("parameter", "limit", "gain_doubling", "gain_all")
        for end in ("", "_low", "_high")
    }
    | {"probability_all": pl.Float64(), "why_not": pl.String()}
)


def summary(
    runs: pl.DataFrame, *, tolerance: float | None = None, level: float = 0.95, rng: np.random.Generator
) -> pl.DataFrame:
    """Return the saturation of every curve.

    Parameters
    ----------
    runs
        From `runs_of`.
    tolerance
        Of the plateau and of the probability, in units of the score; 5 % of the best mean when None.

    Returns
    -------
    pl.DataFrame
        Columns of SCHEMA. Sizes are training cells. `limit` is the score of infinitely many, `parameter`
        the exponent of a power law or the scale in cells, `gain_doubling` and `gain_all` what twice the
        largest subset and the whole corpus bring over the largest subset, by all shapes weighed together
        (`outlook`); null for the whole corpus where it was run. `probability_all`: that the whole corpus
        brings more than the tolerance over the largest subset below it. Scores of metrics where lower is
        better have their sign turned. What the runs cannot say is null, and `why_not` says why.
    """
    seeds = rng.integers(2**63, size=2)
    rows = [
        {**names, **_of_curve(held, tolerance, level=level, seeds=seeds.tolist())}
        for names, held in curves_of(runs)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _of_curve(
    runs: pl.DataFrame, tolerance: float | None, *, level: float, seeds: list[int]
) -> dict[str, Any]:
    curve, n_all = curve_of(runs), n_of_all(runs)
    fractions = dict(runs.select("n_cells", "fraction").iter_rows())
    largest = float(curve.steps[-1])
    # Of one size there is nothing to be the smallest of.
    point = study_point(curve) if curve.steps.size > 1 else None
    best = float(curve.means.max())
    row: dict[str, Any] = {
        "n_sizes": curve.steps.size,
        "n_seeds": curve.n_seeds,
        "n_runs": curve.n_runs,
        "largest": largest,
        "largest_fraction": fractions[largest],
        "best": best,
        "study_point": point,
        "study_fraction": None if point is None else fractions[point],
    }
    slack = 0.05 * abs(best) if tolerance is None else tolerance
    try:
        row |= _plateau(curve, slack, fractions, level=level, rng=np.random.default_rng(seeds[0]))
        _refuse_no_scatter(curve)
        row |= _fitted(curve, level=level, rng=np.random.default_rng(seeds[1]))
        row |= _expected(curve, n_all, slack, level=level)
    except SaturationError as error:
        row["why_not"] = str(error)
    return row


def _plateau(
    curve: Curve,
    slack: float,
    fractions: Mapping[float, float | None],
    *,
    level: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    found = plateau(_whole(curve), tolerance=slack, level=level, rng=rng)
    return {
        "verdict": found.verdict,
        "plateau": found.n_cells,
        "plateau_fraction": None if found.n_cells is None else fractions[found.n_cells],
        "plateau_low": found.low,
        "plateau_high": found.high,
        "tolerance": slack,
        "largest_gain": found.largest_gain,
    }


def _refuse_no_scatter(curve: Curve) -> None:
    """Refuse a curve of whose noise nothing is known: shapes are weighed by it."""
    scatter = np.nanmax(np.abs(curve.table - curve.means))
    if scatter <= 1e-12 * max(1.0, float(np.abs(curve.means).max())):
        raise SaturationError(
            f"the {counted(curve.n_seeds, 'seed')} have the same score at every size: without scatter no "
            "shape can be fitted"
        )


def _whole(curve: Curve) -> Curve:
    """Return the seeds that have a run of every size, where there are two; else the curve as it is."""
    is_whole = np.isfinite(curve.table).all(axis=1)
    if is_whole.all() or is_whole.sum() < 2:
        return curve
    kept = np.isin(curve.seeds, np.unique(curve.seeds)[is_whole])
    return type(curve)(curve.n_cells[kept], curve.scores[kept], curve.seeds[kept])


def _fitted(curve: Curve, *, level: float, rng: np.random.Generator) -> dict[str, Any]:
    fits = {name: fit(curve, name) for name in FAMILIES}
    criteria = {CONSTANT: aicc_of_constant(curve)} | {name: each.aicc for name, each in fits.items()}
    weights = akaike_weights(criteria)
    best = max(fits.values(), key=lambda each: weights[each.family.name])
    found: dict[str, Any] = {"family": max(weights, key=lambda name: weights[name])}
    found |= {f"weight_{name}": weight for name, weight in weights.items()}
    found |= _ends("parameter", best.parameter(level=level))
    if best.family.name != "log":
        found |= _ends("limit", best.score(np.inf, level=level, rng=rng))
    return found


def _expected(curve: Curve, n_all: float | None, slack: float, *, level: float) -> dict[str, Any]:
    """Say what more cells would bring by all shapes at once: the best alone would not know of the others."""
    outlook, largest = Outlook.of(curve), float(curve.steps[-1])
    found: dict[str, Any] = _ends("gain_doubling", outlook.gain(largest, 2 * largest).interval(level))
    if n_all is None:
        return found
    if n_all > 1.001 * largest:
        found |= _ends("gain_all", outlook.gain(largest, n_all).interval(level))
    if below := [size for size in curve.steps.tolist() if size < n_all * 0.999]:
        found["probability_all"] = outlook.gain(below[-1], n_all).exceeds(slack)
    return found


def _ends(name: str, interval: Interval | None) -> dict[str, float]:
    if interval is None:
        return {}
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}

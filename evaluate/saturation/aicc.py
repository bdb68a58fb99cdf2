"""Akaike's information criterion for small samples: how families of curves compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from curate.evaluate.saturation.curve import Curve


def aicc(rss: float, n_runs: int, n_parameters: int) -> float:
    """Return the AICc of normal noise with a residual sum of squares; infinite where runs are too few."""
    if n_runs - n_parameters - 1 < 1:
        return float("inf")
    likelihood = n_runs * np.log(max(rss, np.finfo(float).tiny) / n_runs)
    return float(likelihood + 2 * n_parameters * n_runs / (n_runs - n_parameters - 1))


def aicc_of_constant(curve: Curve) -> float:
    """Return the AICc of a curve that does not change with size."""
    levels = np.array([np.nanmean(row) for row in curve.table])
    rss = float(np.nansum((curve.table - levels[:, None]) ** 2))
    return aicc(rss, curve.n_runs, curve.n_seeds + 1)


def akaike_weights(criteria: dict[str, float]) -> dict[str, float]:
    """Return exp(-Δ/2) of each criterion, scaled to add to 1 (Burnham and Anderson 2002)."""
    values = np.array(list(criteria.values()))
    finite = values[np.isfinite(values)]
    if not finite.size:
        return dict.fromkeys(criteria, 1 / len(criteria))
    raw = np.exp(-(values - finite.min()) / 2)
    return dict(zip(criteria, (raw / raw.sum()).tolist(), strict=True))

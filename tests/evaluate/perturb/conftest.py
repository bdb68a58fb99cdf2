"""A simulated screen with known responses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from curate.evaluate.data import EvaluationData
from curate.evaluate.perturb import heads


@pytest.fixture(autouse=True)
def _short_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of the steps: enough for what is learned here."""
    monkeypatch.setattr(heads, "N_STEPS", 200)


CONTEXTS, PERTURBATIONS = ("a", "b", "c"), ("control", "P0", "P1", "P2", "P3")
N_EACH, N_GENES = 40, 60


@pytest.fixture
def screen() -> EvaluationData:
    """600 cells of 60 genes: three donors, four perturbations, each of which raises six genes of its own.

    The gene G10 bears the name of a perturbation, P0.
    """
    rng = np.random.default_rng(0)
    base = rng.gamma(8, 1, N_GENES)
    rates, contexts, perturbations = [], [], []
    for c, context in enumerate(CONTEXTS):
        own = base.copy()
        own[50 + 3 * c : 53 + 3 * c] *= 4
        for p, name in enumerate(PERTURBATIONS):
            rate = own.copy()
            if p:
                rate[6 * p : 6 * p + 6] *= 5
            rates += [rate] * N_EACH
            contexts += [context] * N_EACH
            perturbations += [name] * N_EACH
    names = [f"G{i}" for i in range(N_GENES)]
    names[10] = "P0"
    return EvaluationData(
        name="screen",
        path=Path("screen.h5ad"),
        counts=csr_array(rng.poisson(np.array(rates)).astype(np.uint32)),
        obs_names=pl.Series([f"cell {i}" for i in range(len(rates))]),
        obs=pl.DataFrame(
            {
                "donor_id": contexts,
                "perturbation": perturbations,
                "cell_type": ["x" if i % 2 else "y" for i in range(len(rates))],
            }
        ),
        var_names=pl.Series([f"ENSG{i:011d}" for i in range(N_GENES)]),
        var=pl.DataFrame({"feature_name": names}),
    )

"""Tables of results, simulated: no model was trained for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl
import pytest

from curate.evaluate.results import RESULT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

N_ALL = 180_000
LEVEL = {"scvi": 0.72, "pca": 0.64, "contrastive": 0.78, "masked": 0.66, "geneformer": 0.7}
RISE = {"scvi": 2_500.0, "pca": 400.0, "contrastive": 9_000.0, "masked": 30_000.0, "geneformer": 6_000.0}
BONUS = {"random": 0.0, "sketch": 0.012, "reweight": 0.02}
SETTING_BONUS = {"zero-shot": 0.0, "head": 0.06, "full": 0.11}


class SimulateResults(Protocol):
    """Makes a table of results whose truth is LEVEL + BONUS less a rational fall."""

    def __call__(
        self,
        *,
        models: Sequence[str] = ...,
        strategies: Sequence[str] = ...,
        fractions: Sequence[float] = ...,
        n_seeds: int = ...,
        settings: Sequence[str] = ...,
        datasets: Sequence[str] = ...,
        sd: float = ...,
        max_cells: int | None = ...,
        label: str | None = ...,
    ) -> pl.DataFrame: ...


@pytest.fixture
def simulate_results() -> SimulateResults:
    return make_results


def make_results(
    *,
    models: Sequence[str] = ("contrastive", "pca", "scvi"),
    strategies: Sequence[str] = ("random", "reweight", "sketch"),
    fractions: Sequence[float] = (0.01, 0.1, 0.25, 0.5, 1.0),
    n_seeds: int = 5,
    settings: Sequence[str] = ("zero-shot",),
    datasets: Sequence[str] = ("atlas",),
    sd: float = 0.004,
    max_cells: int | None = None,
    label: str | None = "simulated results: no model was trained",
) -> pl.DataFrame:
    """Return a table of results; trainings see three epochs of cells, or `max_cells`."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for dataset in datasets:
        shift = rng.normal(0, 0.03)
        shared = {"task": "classify", "dataset": dataset, "dataset_id": dataset, "evaluation_seed": 0,
                  "part": "", "metric": "macro_f1", "metric_version": 1, "higher_is_better": True,
                  "n_cells": 4_000, "leakage": "none", "label": label}  # fmt: skip
        for model in models:
            levels = rng.normal(0, 0.004, n_seeds)
            for setting in settings:
                asked = {"setting": setting, "method": "knn" if setting == "zero-shot" else "mlp",
                         "model": model, "corpus": "corpus", "preset": "study"}  # fmt: skip
                top = LEVEL[model] + SETTING_BONUS[setting] + shift
                rows.append(shared | asked | {"kind": "untrained", "value": top - 0.2, "seed": 0})
                for strategy in strategies:
                    for fraction in fractions:
                        for seed in range(n_seeds):
                            n = fraction * N_ALL
                            bonus = BONUS[strategy] * (1 - fraction)
                            value = (
                                top + bonus - 0.15 / (1 + n / RISE[model]) + levels[seed] + rng.normal(0, sd)
                            )
                            cells_seen = max_cells or int(3 * n)
                            rows.append(
                                shared | asked
                                | {"kind": "trained", "value": value, "seed": seed, "subset_seed": seed,
                                   "strategy": strategy, "fraction": fraction, "n_train_cells": int(n),
                                   "n_cells_seen": cells_seen, "train_seconds": cells_seen / 2e4 + 5.0,
                                   "model_id": f"{model}-{strategy}-{fraction}-{seed}"}
                            )  # fmt: skip
        for name, method, value in (("majority", "majority", 0.05), ("hvg", "knn", 0.55 + shift),
                                    ("pca of the data", "knn", 0.6 + shift),
                                    ("logistic", "logistic", 0.7 + shift)):  # fmt: skip
            rows.append(
                shared
                | {
                    "setting": "zero-shot",
                    "method": method,
                    "kind": "baseline",
                    "model": name,
                    "value": value,
                }
            )
    return pl.DataFrame(rows, schema=RESULT_SCHEMA, orient="row")

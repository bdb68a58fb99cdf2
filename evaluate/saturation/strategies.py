"""Every strategy against random: at the same sizes, and at the same compute.

1. at equal size, over all sizes that both were run at together, then at each;
2. at equal compute, a subset of the strategy against a larger one at random, where both saw as many cells
   (budgets of training do that): does a chosen 1 % beat a random 10 %?
3. all p are adjusted together (Holm), for they are one family of questions.

Runs are paired by their seeds.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from curate.evaluate.saturation.compare import adjusted, paired
from curate.evaluate.saturation.runs import CURVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BASELINE: Final = "random"
#: Cells seen by two trainings that differ by less than this share are as many.
SAME_COMPUTE: Final = 0.05
EQUAL_SIZE, EQUAL_COMPUTE = "equal size", "equal compute"

_TEXT: Final[dict[str, pl.DataType]] = dict.fromkeys(CURVE, pl.String())
SCHEMA: Final[dict[str, pl.DataType]] = (
    _TEXT
    | {"baseline": pl.String(), "comparison": pl.String()}
    | dict.fromkeys(("fraction", "baseline_fraction", "n_cells", "baseline_n_cells"), pl.Float64())
    | dict.fromkeys(("difference", "low", "high", "p", "p_adjusted"), pl.Float64())
    | {"n_seeds": pl.Int64()}
)
_KEYS = [name for name in CURVE if name != "strategy"]


def against_random(runs: pl.DataFrame, *, baseline: str = BASELINE) -> pl.DataFrame:
    """Compare every strategy with one that chooses at random.

    Parameters
    ----------
    runs
        From `runs_of`.
    baseline
        The strategy that the others are compared with.

    Returns
    -------
    pl.DataFrame
        Columns of SCHEMA. A row without a fraction and a number of cells is over all sizes together.
        `difference` is the strategy less the baseline, mean over pairs, `low` to `high` its 95 % interval.
        What has fewer than two pairs has no row.
    """
    found: list[dict[str, Any]] = []
    for group in runs.partition_by(_KEYS, maintain_order=True):
        random = group.filter(pl.col("strategy") == baseline)
        for chosen in group.filter(pl.col("strategy") != baseline).partition_by("strategy"):
            names = chosen.select(CURVE).row(0, named=True) | {"baseline": baseline}
            found += [names | row for row in (*_equal_size(chosen, random), *_equal_compute(chosen, random))]
    made = adjusted([row["made"] for row in found])
    rows = [
        {key: held for key, held in row.items() if key != "made"}
        | {key: held for key, held in asdict(difference).items() if key != "n_cells"}
        for row, difference in zip(found, made, strict=True)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _equal_size(chosen: pl.DataFrame, random: pl.DataFrame) -> Iterator[dict[str, Any]]:
    # On the whole corpus there is nothing to choose.
    steps = [step for step in _steps(chosen) if step in _steps(random) and step != 1.0]
    pairs = {step: _pairs(chosen, random, step, step) for step in steps}
    by_run: dict[int, list[float]] = {}
    for held in pairs.values():
        for run, difference in held.items():
            by_run.setdefault(run, []).append(difference)
    whole = np.array([np.mean(each) for each in by_run.values() if len(each) == len(pairs)])
    if len(pairs) > 1 and whole.size >= 2:
        yield _row(EQUAL_SIZE, None, None, chosen, random, whole)
    for step, held in pairs.items():
        if len(held) >= 2:
            yield _row(EQUAL_SIZE, step, step, chosen, random, np.array(list(held.values())))


def _equal_compute(chosen: pl.DataFrame, random: pl.DataFrame) -> Iterator[dict[str, Any]]:
    for step in _steps(chosen):
        for larger in _steps(random):
            seen, of_larger = _seen(chosen, step), _seen(random, larger)
            if larger <= step or not seen or not of_larger or abs(seen / of_larger - 1) > SAME_COMPUTE:
                continue
            pairs = _pairs(chosen, random, step, larger)
            if len(pairs) >= 2:
                yield _row(EQUAL_COMPUTE, step, larger, chosen, random, np.array(list(pairs.values())))


def _step() -> pl.Expr:
    return pl.coalesce("fraction", "n_cells")


def _steps(runs: pl.DataFrame) -> list[float]:
    return runs.select(_step().alias("step"))["step"].unique().sort().to_list()


def _seen(runs: pl.DataFrame, step: float) -> float | None:
    return runs.filter(_step() == step).select(pl.col("cells_seen").mean()).item()  # type: ignore[no-any-return]


def _pairs(chosen: pl.DataFrame, random: pl.DataFrame, step: float, other: float) -> dict[int, float]:
    """Return the difference of each pair of runs, by their seeds."""
    a = chosen.filter(_step() == step).select("run", "score")
    b = random.filter(_step() == other).select("run", pl.col("score").alias("of_random"))
    both = a.join(b, on="run").sort("run")
    return {run: score - of_random for run, score, of_random in both.iter_rows()}


def _row(
    comparison: str,
    step: float | None,
    other: float | None,
    chosen: pl.DataFrame,
    random: pl.DataFrame,
    values: NDArray[np.float64],
) -> dict[str, Any]:
    def size(runs: pl.DataFrame, at: float | None) -> tuple[float | None, float | None]:
        if at is None:
            return None, None
        row = runs.filter(_step() == at).row(0, named=True)
        return row["fraction"], row["n_cells"]

    (fraction, n_cells), (of_random, n_random) = size(chosen, step), size(random, other)
    return {
        "comparison": comparison,
        "fraction": fraction,
        "n_cells": n_cells,
        "baseline_fraction": of_random,
        "baseline_n_cells": n_random,
        "made": paired(n_cells, values),
    }

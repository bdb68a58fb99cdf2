"""The parts of a validation loss: what a model was chosen by, where that is a sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from curate.train.models.network import Network
from curate.wording import counted

if TYPE_CHECKING:
    from curate.train.models.model import Model


def parts_line(metrics: pl.DataFrame, step: int | None) -> str:
    """Return what the validation at a step has measured beside the loss, in words; "" where nothing.

    Parameters
    ----------
    metrics
        The log of a training, as in `FitReport`.
    """
    if step is None:
        return ""
    found = metrics.filter(pl.col("split") == "val", pl.col("step") == step, pl.col("metric") != "loss")
    return ", ".join(f"{name} {value:.6g}" for name, value in found.select("metric", "value").iter_rows())


def absent_lines(kind: type[Model], metrics: pl.DataFrame, *, n_cells: int) -> list[str]:
    """Return what of the loss no validation cell had, a line each.

    Parameters
    ----------
    n_cells
        Validation cells.
    """
    if not issubclass(kind, Network):
        return []
    names = set(metrics.filter(pl.col("split") == "val")["metric"])
    if not names:
        return []
    found = {name: why for name, why in kind.absent.items() if name not in names}
    told = f" among {counted(n_cells, 'validation cell')}:"
    return [why.replace(":", told, 1) for why in found.values()]

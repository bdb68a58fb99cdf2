"""What the charts of a report share: names, order, colours, intervals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from scipy.stats import t as student_t

from curate.charts import FAINT
from curate.evaluate.saturation.runs import VIEW
from curate.evaluate.saturation.strategies import BASELINE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import altair as alt

#: Settings in the order of how much of the model is trained for the task.
SETTINGS: Final = ("zero-shot", "head", "full")
SETTING_NAMES: Final = {
    "zero-shot": "frozen, zero-shot",
    "head": "frozen, trained head",
    "full": "fine-tuned",
}
#: 0.01, 10, 10k: "10m" for a hundredth is not what people read.
_NUMBER: Final = "datum.value < 1 ? format(datum.value, '~g') : format(datum.value, '~s')"


@dataclass(frozen=True, eq=False)
class View:
    """The runs whose scores can be laid side by side: one metric on one data set.

    Attributes
    ----------
    names
        By VIEW.
    runs
        As `runs_of`.
    baselines
        Columns name, model (null where it is for all) and score, a row a reference line.
    strategies
        Of all views, random first: each has its colour everywhere.
    """

    names: dict[str, str]
    runs: pl.DataFrame
    baselines: pl.DataFrame
    strategies: tuple[str, ...]

    @cached_property
    def title(self) -> str:
        """Data set, metric, and how it was measured."""
        held = self.names
        how = f"{held['task']} {held['setting']} {held['method']}"
        return f"{held['dataset']}: {metric_name(held['metric'])}, {how}"

    @cached_property
    def models(self) -> list[str]:
        """Names of the models, ascending."""
        return self.points["model"].unique().sort().to_list()

    @cached_property
    def drawn(self) -> list[str]:
        """The strategies that have runs here."""
        present = set(self.runs["strategy"].to_list())
        return [name for name in self.strategies if name in present]

    @cached_property
    def points(self) -> pl.DataFrame:
        """A row a model, strategy and size: n_cells, fraction, mean, low, high, n_seeds, and mean costs.

        `low` to `high` is the 95 % interval of the mean over runs (Student's t); the mean itself of one run.
        """
        found = (
            self.runs.with_columns(_model(self.runs).alias("model"))
            .group_by("model", "strategy", "n_cells", "fraction")
            .agg(
                pl.col("score").mean().alias("mean"),
                pl.col("score").std(ddof=1).alias("sd"),
                pl.len().alias("n_seeds"),
                pl.col("cells_seen").mean(),
                pl.col("train_seconds").mean(),
            )
            .sort("model", "strategy", "n_cells")
        )
        n = found["n_seeds"].to_numpy()
        half = student_t.ppf(0.975, np.maximum(n - 1, 1)) * found["sd"].fill_null(0).to_numpy() / np.sqrt(n)
        sign = -1.0 if self.is_turned else 1.0
        return found.with_columns(
            (pl.col("mean") * sign).alias("mean"),
            (pl.col("mean") * sign - pl.Series(half)).alias("low"),
            (pl.col("mean") * sign + pl.Series(half)).alias("high"),
        )

    @cached_property
    def is_turned(self) -> bool:
        """Whether lower values of the metric are better."""
        return bool(self.runs["is_turned"].any())


def views_of(runs: pl.DataFrame, baselines: pl.DataFrame) -> Iterator[View]:
    """Yield the views of a table of runs, each with its baselines (columns of VIEW, name, model, score)."""
    strategies = tuple(ordered(runs["strategy"].unique().to_list()))
    for held in runs.partition_by(*VIEW, maintain_order=True):
        names = held.select(VIEW).row(0, named=True)
        keys = ("corpus", "task", "dataset", "metric")
        own = baselines.filter(*(pl.col(key) == names[key] for key in keys))
        is_same = (pl.col("setting") == names["setting"]) & (pl.col("method") == names["method"])
        # A method that needs no representation stands beside all others.
        own = own.filter((pl.col("name") == pl.col("method")) | is_same)
        yield View(names, held, own.unique(["name", "model"], maintain_order=True), strategies)


def _model(runs: pl.DataFrame) -> pl.Expr:
    """Return the name of a model, with its preset where some model has several."""
    n_presets = runs.select(pl.struct("model", "preset").n_unique() - pl.col("model").n_unique()).item()
    return pl.format("{} {}", "model", "preset") if n_presets else pl.col("model")


def ordered(strategies: Sequence[str]) -> list[str]:
    """Return names of strategies in the order of charts: random first, so that its colour is the same."""
    return sorted(strategies, key=lambda name: (name != BASELINE, name))


def share(fraction: float | None, n_cells: float | None = None) -> str:
    """Return a fraction as people write it, else a number of cells."""
    if fraction is not None:
        return f"{100 * fraction:.3g} %"
    return "?" if n_cells is None else f"{n_cells:,.0f} cells"


def metric_name(metric: str) -> str:
    """Return a metric as people write it."""
    return metric.replace("_", " ").replace("macro f1", "macro-F1").replace("micro f1", "micro-F1")


def extent(*columns: pl.Series) -> tuple[float, float]:
    """Return the smallest and the largest number of columns; (0, 0) where there is none."""
    values = np.concatenate([each.drop_nulls().to_numpy() for each in columns])
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def log_x(values: Sequence[float], field: str, title: str | None, *, room: float = 1.15) -> alt.X:
    """Return a logarithmic axis: labels at powers of ten, or at 1, 2 and 5 where there are few of them.

    Parameters
    ----------
    room
        Factor by which the axis is longer than the values at each end.
    """
    import altair as alt

    low, high = min(values), max(values)
    if high <= low:
        low, high = low / 2, high * 2
    low, high = low / room, high * room
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [10.0**power for power in decades if low <= 10.0**power <= high]
    if len(ticks) < 3:
        ticks = [lead * 10.0**power for power in decades for lead in (1, 2, 5)]
        ticks = [tick for tick in ticks if low <= tick <= high]
    return alt.X(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(
            values=ticks, labelExpr=_NUMBER, grid=True, domain=False, ticks=False, labelFlush=False
        ),
    )


def nearer(values: Sequence[float], *, gap: float) -> list[float]:
    """Return places for labels at `values`, `gap` apart or more, each as near to its own as the order lets.

    Crowded labels are moved apart about the middle of their group.
    """
    order = np.argsort(values, kind="stable")
    groups: list[tuple[list[int], float]] = []
    for at in order.tolist():
        groups.append(([at], float(values[at])))
        while len(groups) > 1:
            (above, high), (below, low) = groups[-1], groups[-2]
            if high - low >= gap * (len(above) + len(below)) / 2:
                break
            members = below + above
            groups[-2:] = [(members, float(np.mean([values[each] for each in members])))]
    places = [0.0] * len(values)
    for members, centre in groups:
        for nth, each in enumerate(members):
            places[each] = centre + (nth - (len(members) - 1) / 2) * gap
    return places


def panel_title(text: str, *, subtitle: str | list[str] | None = None) -> alt.TitleParams:
    """Return the title of one panel."""
    import altair as alt

    more: dict[str, Any] = {} if subtitle is None else {"subtitle": subtitle}
    return alt.TitleParams(
        text, fontSize=12, offset=8, frame="group", subtitleFontSize=11, subtitlePadding=3, **more
    )


def below_title(text: str) -> alt.TitleParams:
    """Return the title of a panel that belongs to the one above it."""
    import altair as alt

    return alt.TitleParams(text, fontSize=11, fontWeight="normal", color=FAINT, offset=6, frame="group")

"""The table that `curate evaluate` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from curate.evaluate.tasks.task import EvaluationTask

#: Wider than any table, so that no number is ever cut; lines are as long as what they say.
WIDTH = 10_000
NORMALISED = "normalised"
OWN_LOSS = "own loss"


def show(card: EvaluationTask, table: pl.DataFrame, *, parts: bool) -> None:
    """Print a table for each data set: what was tried, and the headline metrics, the best first."""
    console = Console(width=WIDTH, highlight=False, markup=False, emoji=False)
    for (name,), of in table.group_by("dataset", maintain_order=True):
        held = of if parts else of.filter(pl.col("part") == "")
        by = ["kind", "model_name", "setting", "method", "part"]
        names = [each for each in card.headline if (held["metric"] == each).any()]
        if parts:
            others = [each for each in card.metrics if each not in (*names, *card.objectives)]
            names += [each for each in others if (held["metric"] == each).any()]
        wide = held.group_by(by, maintain_order=True).agg(
            *(_mean(each).alias(each) for each in names),
            *(_deviation(each).alias(f"± {each}") for each in names),
            _mean(names[0] if names else "", of="normalised").alias(NORMALISED),
            *(_mean(each).alias(each) for each in card.objectives),
            *(_deviation(each).alias(f"± {each}") for each in card.objectives),
            pl.col("n_cells").first(),
        )
        columns = [*names, NORMALISED] if wide[NORMALISED].is_not_null().any() else [*names]
        has_losses = held["metric"].is_in(card.objectives).any()
        n_seeds = of["evaluation_seed"].n_unique()
        n_cells = int(wide["n_cells"].max() or 0)  # type: ignore[arg-type]
        console.print(
            f"{card.name} on {name}: {n_cells:,} cells scored"
            + (f", mean ± standard deviation of {n_seeds} seeds" if n_seeds > 1 else "")
            + _label(of)
        )
        shown = Table(box=None, pad_edge=False)
        for column in ("model", "kind", "how", *(["part"] if parts else []), *columns):
            shown.add_column(column, justify="right" if column in columns else "left", no_wrap=True)
        if has_losses:
            shown.add_column(OWN_LOSS, no_wrap=True)
        better = _is_higher_better(of, names[0]) if names else True
        ordered = wide.sort("part", names[0], descending=[False, better], nulls_last=True) if names else wide
        for row in ordered.iter_rows(named=True):
            how = row["method"] if row["setting"] == "zero-shot" else f"{row['method']}, {row['setting']}"
            cells = [row["model_name"], row["kind"], how, *([row["part"]] if parts else [])]
            cells += [_number(row[each], row.get(f"± {each}")) for each in columns]
            shown.add_row(*cells, *([_own_loss(card, row)] if has_losses else []))
        console.print(shown)
        if NORMALISED in columns:
            console.print(f"{NORMALISED}: {names[0]}, where 0 is {card.trivial} and 1 is {card.replicate}")
        if has_losses:
            console.print(
                f"{OWN_LOSS}: what the model is trained to lower, of these cells; less is better, and losses "
                "of different names cannot be compared"
            )


def _mean(name: str, *, of: str = "value") -> pl.Expr:
    return pl.col(of).filter(pl.col("metric") == name).mean()


def _deviation(name: str) -> pl.Expr:
    return pl.col("value").filter(pl.col("metric") == name).std()


def _is_higher_better(table: pl.DataFrame, name: str) -> bool:
    return bool(table.filter(pl.col("metric") == name)["higher_is_better"][0])


def _number(value: float | None, deviation: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if deviation is None else f"{value:.3f} ± {deviation:.3f}"


def _own_loss(card: EvaluationTask, row: dict[str, Any]) -> str:
    """Return the first of the losses that a row has, by its name."""
    name = next((each for each in card.objectives if row[each] is not None), None)
    if name is None:
        return ""
    return f"{name.removeprefix('loss:')} {_number(row[name], row[f'± {name}'])}"


def _label(table: pl.DataFrame) -> str:
    labels = table["label"].drop_nulls().unique().to_list()
    leaks = [each for each in table["leakage"].unique().to_list() if each != "none"]
    return "".join(f"; {each}" for each in (*labels, *(f"leakage {text}" for text in leaks)))

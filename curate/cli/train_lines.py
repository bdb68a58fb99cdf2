"""What `curate train` prints of a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from curate.train.artifact.card import STOPPED
from curate.train.artifact.parts import parts_line

if TYPE_CHECKING:
    from curate.train.artifact import Artifact


def lines(artifact: Artifact) -> dict[str, str]:
    """Return what was done, in words, by title."""
    header = artifact.header
    cost, on = header.cost, header.trained_on
    found = {
        "model": f"{artifact.name}  {artifact.id[:12]}",
        "of": f"{header.model}, preset {header.preset}, {header.n_parameters:,} parameters, "
        f"{header.n_dims:,} dimensions",
        "trained on": f"{on.manifest_ref}: {on.n_cells.get('train', 0):,} cells, {on.n_genes:,} genes",
        "took": _took(artifact),
        "loss": _loss(artifact),
        "measured": _parts(artifact),
        "ended by": STOPPED[header.stopped],
        "broken off": header.broken_off or "",
        "folder": f"{artifact.path} ({artifact.n_bytes / 1e6:,.1f} MB)",
    }
    if header.asked.is_untrained:
        found["trained on"] = f"made for {on.manifest_ref}, {on.n_genes:,} genes"
        found["took"] = ""
    if cost.energy_joules is not None:
        found["energy"] = f"{cost.energy_joules:,.0f} J"
    return {title: text for title, text in found.items() if text}


def _took(artifact: Artifact) -> str:
    cost = artifact.header.cost
    if not cost.n_steps:
        drawn = ", drawn by the weights of the manifest" if artifact.header.asked.is_weighted else ""
        return f"{cost.n_cells:,} cells in {cost.seconds:,.1f} s{drawn}"
    rate = f", {cost.n_cells / cost.seconds:,.0f} cells/s" if cost.seconds > 0 else ""
    waiting = "" if cost.waiting_fraction is None else f", {cost.waiting_fraction:.1%} of it waiting for data"
    return f"{cost.n_steps:,} steps, {cost.n_cells:,} cells in {cost.seconds:,.1f} s{rate}{waiting}"


def _loss(artifact: Artifact) -> str:
    """Return where the losses began, and where they were best."""
    losses = artifact.metrics().filter(pl.col("metric") == "loss")
    said = []
    for split in ("train", "val"):
        values: list[float] = losses.filter(pl.col("split") == split)["value"].to_list()
        if values:
            course = f" → {min(values):.5g}" if len(values) > 1 else ""
            said.append(f"{split} {values[0]:.5g}{course}")
    if artifact.header.best_step is not None:
        said.append(f"weights of step {artifact.header.best_step:,}")
    return ", ".join(said)


def _parts(artifact: Artifact) -> str:
    """Return what the validation whose weights were kept measured beside the loss."""
    parts = parts_line(artifact.metrics(), artifact.header.best_step)
    return f"{parts} (of that validation)" if parts else ""

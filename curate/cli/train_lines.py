"""What `curate train` prints of a trained model."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from curate.wording import counted

if TYPE_CHECKING:
    from curate.train.artifact import Artifact
    from curate.train.artifact.document import RunDocument


def lines(artifact: Artifact) -> dict[str, str]:
    """Return what was done, in words, by title."""
    from curate.train.artifact.card import STOPPED

    header = artifact.header
    cost, on, shards = header.cost, header.trained_on, header.shards
    found = {
        "model": f"{artifact.name}  {artifact.id[:12]}",
        "of": f"{header.model}, preset {header.preset}, {_size(header)}, {header.n_dims:,} dimensions",
        "made for": "",
        "trained on": f"{on.manifest_ref}: {on.n_cells.get('train', 0):,} cells, {on.n_genes:,} genes",
        "shards": "not compared with their sha256" if shards and shards.checked == "no" else "",
        "took": _took(artifact),
        "loss": _loss(artifact),
        "measured": _parts(artifact),
        "ended by": STOPPED[header.stopped],
        "broken off": header.broken_off or "",
        "folder": f"{artifact.path} ({artifact.n_bytes / 1e6:,.1f} MB)",
    }
    if header.asked.is_untrained:
        del found["trained on"], found["took"]
        found["made for"] = f"{on.manifest_ref}, {on.n_genes:,} genes"
    if cost.energy_joules is not None:
        found["energy"] = f"{cost.energy_joules:,.0f} J"
    return {title: text for title, text in found.items() if text}


def how(header: RunDocument) -> str:
    """Return in a few words what tells a model from others of its kind: settings, budget, seed, its end."""
    from curate.train.models import MODELS

    asked, budget = header.asked, header.asked.budget
    preset: dict[str, Any] = {}
    # Of a model that this curate does not know all settings are told.
    with suppress(KeyError):
        preset = MODELS[header.model].presets[header.preset].model_dump(mode="json")  # type: ignore[index]
    changed = {key: value for key, value in asked.settings.items() if preset.get(key, ...) != value}
    if "loss" in asked.settings:
        changed = {"loss": asked.settings["loss"]} | changed
    said = [f"seed {asked.seed}", *(f"{key}={_value(value)}" for key, value in changed.items())]
    limits = {"steps": budget.max_steps, "cells": budget.max_cells, "min": budget.max_minutes}
    said += [f"{limit:,} {unit}" for unit, limit in limits.items() if limit is not None]
    said += ["weighted"] if asked.is_weighted else []
    said += [f"{asked.devices} devices"] if asked.devices > 1 else []
    said += [asked.precision] if asked.precision != "32" else []
    said += [f"task {header.task.name}"] if header.task else []
    if header.stopped == "checkpoint":
        said.append(f"broke off at step {header.cost.n_steps:,}")
    if header.shards is not None and header.shards.checked == "no":
        said.append("shards not compared")
    return ", ".join(said)


def _value(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _size(header: RunDocument) -> str:
    """Return how much a model holds: what gradients change, or what is found in passes over the cells."""
    if header.n_parameters or header.n_numbers is None:
        return f"{header.n_parameters:,} parameters"
    return f"{header.n_numbers:,} stored numbers"


def _took(artifact: Artifact) -> str:
    cost = artifact.header.cost
    if not cost.n_steps:
        drawn = ", drawn by the weights of the manifest" if artifact.header.asked.is_weighted else ""
        return f"{cost.n_cells:,} cells in {cost.seconds:,.1f} s{drawn}"
    rate = f", {cost.n_cells / cost.seconds:,.0f} cells/s" if cost.seconds > 0 else ""
    waiting = "" if cost.waiting_fraction is None else f", {cost.waiting_fraction:.1%} of it waiting for data"
    return f"{counted(cost.n_steps, 'step')}, {cost.n_cells:,} cells in {cost.seconds:,.1f} s{rate}{waiting}"


def _loss(artifact: Artifact) -> str:
    """Return where the losses began and ended, and where the weights are from."""
    import polars as pl

    losses = artifact.metrics().filter(pl.col("metric") == "loss")
    said = []
    for split in ("train", "val"):
        values: list[float] = losses.filter(pl.col("split") == split)["value"].to_list()
        if values:
            course = f" → {values[-1]:.5g}" if len(values) > 1 else ""
            said.append(f"{split} {values[0]:.5g}{course}")
    if artifact.header.best_step is not None:
        best = artifact.header.best_loss
        of = "" if best is None else f", the best: val {best:.5g}"
        said.append(f"weights of step {artifact.header.best_step:,}{of}")
    return ", ".join(said)


def _parts(artifact: Artifact) -> str:
    """Return what the validation whose weights were kept measured beside the loss."""
    from curate.train.artifact.parts import parts_line

    parts = parts_line(artifact.metrics(), artifact.header.best_step)
    return f"{parts} (of that validation)" if parts else ""

"""The held-out half of a task's reference, as evaluation data; and how each kind of task is tried on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
import scipy.sparse as sp

from curate.build.task.reference import open_census
from curate.errors import TaskError
from curate.evaluate.data import EvaluationData
from curate.evaluate.open import open_data
from curate.task import CELL
from curate.train.embed.genes import MIN_OVERLAP

if TYPE_CHECKING:
    from curate.build.task.reference import Reference
    from curate.build.task.task import Task
    from curate.task import Kind, ReferenceSource

#: Kind of a task document -> key of TASKS.
TASK_OF: Final[dict[Kind, str]] = {
    "classification": "classify",
    "integration": "integrate",
    "perturbation": "perturb",
}


def held_out_data(task: Task, *, min_overlap: float = MIN_OVERLAP) -> EvaluationData:
    """Read the held-out half of a reference into memory.

    Parameters
    ----------
    min_overlap
        Least share of a model's genes that it must have.

    Raises
    ------
    TaskError
        When the task has no reference, or no cell of it is held out.
    SourceError, CensusError
        When it cannot be read.
    """
    reference, source = held_out_reference(task)
    document = task.document
    if reference.kind == "census":
        return replace(_of_census(task, reference, source), min_overlap=min_overlap)
    data = open_data(
        reference.place, layer=source.layer, gene_column=source.gene_column, min_overlap=min_overlap
    )
    return data.take(reference.held_out_rows, name=document.name)


def held_out_reference(task: Task) -> tuple[Reference, ReferenceSource]:
    """Return a reference of which cells are held out, and what the document says of it; nothing is read.

    Raises
    ------
    TaskError
        When the task has no reference, or no cell of it is held out.
    """
    document, reference = task.document, task.reference
    if reference is None or document.reference is None:
        raise TaskError(
            f"task {document.name} has no reference to evaluate on; name an h5ad file under [reference]"
        )
    if not reference.n_held_out:
        raise TaskError(
            f"none of the {reference.n_train:,} cells of {reference.name} is held out, so there is nothing "
            "to evaluate on; lower train_fraction, or name values of `by` that are held_out, under [split]"
        )
    return reference, document.reference


def settings_of(task: Task) -> dict[str, Any]:
    """Return what the document says of columns, under the names that settings of evaluation have."""
    source, by = task.document.reference, task.document.split.by
    if source is None:
        return {}
    said: dict[str, Any] = {
        # Responses are predicted for contexts of their own, as the halves were cut.
        "context_column": by if by != CELL else source.batch_column,
        "label_column": source.label_column,
        "batch_column": source.batch_column,
        "perturbation_column": source.perturbation_column,
        "control": list(source.control) or None,
        "terms": source.terms or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _of_census(task: Task, reference: Reference, source: ReferenceSource) -> EvaluationData:
    organism = task.corpus.header.organism
    with open_census(task.document, source, task.corpus) as census:
        names = [name for name in census.obs_columns(organism) if name != "soma_joinid"]
        joinids = reference.held_out_rows
        tables = [
            pl.DataFrame(pl.from_arrow(each)) for each in census.read_obs(organism, names, joinids=joinids)
        ]
        obs = pl.concat(tables).sort("soma_joinid")
        var = census.read_var(organism)
        counts = sp.vstack([block.counts for block in census.read_counts(organism, joinids)], format="csr")
        return EvaluationData(
            name=task.document.name,
            path=Path(census.uri),
            counts=sp.csr_array(counts).astype(np.uint32),
            obs_names=obs["soma_joinid"].cast(pl.String),
            obs=obs.drop("soma_joinid"),
            var_names=var["feature_id"],
            var=var.select("feature_name"),
            organism=organism,
            label=census.summary.get("label"),
            identity=obs.select(pl.lit("census").alias("source"), pl.col("soma_joinid").cast(pl.Int64)),
            census=census.content,
        )

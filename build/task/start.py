"""A task document to begin with: every key with what it is for, the labels of a reference filled in."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np

from curate.build.task.halves import split_halves, value_texts
from curate.build.task.terms import PLACEHOLDER, find_term
from curate.census.layout import UNKNOWN
from curate.errors import TaskError
from curate.h5ad.source import H5adSource
from curate.nearest import nearest
from curate.task import CELL, SplitRule

if TYPE_CHECKING:
    from pathlib import Path

    from curate.ontology import Ontology
    from curate.task import Kind

LABEL = "cell_type"


def starting_document(
    name: str,
    kind: Kind,
    *,
    folder: Path,
    reference: Path | None,
    ontology: Ontology,
    label_column: str = LABEL,
    split_by: str = CELL,
) -> str:
    """Return the text of a document; the labels of the reference are those of its training half.

    Parameters
    ----------
    folder
        Where the document will lie: the path of the reference is relative to it.

    Raises
    ------
    TaskError
        When the reference has no such label or split column.
    SourceError
        When it cannot be read.
    """
    described = f'name = {_text(name)}\nkind = "{kind}"  # classification, integration or perturbation\n'
    described += 'description = ""\n'
    if reference is None:
        return described + _NO_REFERENCE + _WANTED.format(types=_EXAMPLE) + _EXCLUDE_OF_DESCRIPTION
    labels = _training_labels(reference, label_column, split_by)
    terms = {label: _term(label, ontology) for label in labels}
    lines = [
        f"{_text(label)} = {_text(term)}  # {ontology.label(term)}, {labels[label]:,} cells"
        if term is not None
        else f'# {_text(label)} = "CL:…"  # no term of this name, {labels[label]:,} cells'
        for label, term in terms.items()
    ]
    path = os.path.relpath(reference.resolve(), folder.resolve())
    held = _REFERENCE.format(
        path=_text(path),
        label=_text(label_column),
        columns=_COLUMNS[kind],
        terms="\n".join(lines),
        by=_text(split_by),
    )
    return described + held + _WANTED.format(types="# cell_types = []") + _EXCLUDE


def _training_labels(path: Path, label_column: str, split_by: str) -> dict[str, int]:
    """Return the labels of the half that the document's own rule makes the training half, the most first."""
    with H5adSource.open(path, check=False) as source:
        obs, names = source.obs, source.obs_names
    for name, option in ((label_column, "--label-column"), (split_by, "--split-by")):
        if name not in obs.columns and name != CELL:
            raise TaskError(f"{path} has no obs column {name!r} ({option}); {nearest(name, obs.columns)}")
    halves = split_halves(SplitRule(by=split_by), names, None if split_by == CELL else obs[split_by])
    labels = value_texts(obs[label_column][np.flatnonzero(halves.train)])
    counts = labels.filter(labels != UNKNOWN).alias("label").value_counts(name="n")
    return dict(counts.sort(["n", "label"], descending=[True, False]).iter_rows())


def _term(label: str, ontology: Ontology) -> str | None:
    return find_term(label.strip(), ontology) or find_term(label.strip().removesuffix("s"), ontology)


def _text(value: str) -> str:
    """Return a text as TOML writes it: JSON's escapes are TOML's too."""
    return json.dumps(value, ensure_ascii=False)


_COLUMNS = {
    "classification": '# batch_column = "donor_id"\n',
    "integration": 'batch_column = "batch"  # what is to be integrated\n',
    "perturbation": 'perturbation_column = "perturbation"\ncontrol = ["non-targeting"]  # unperturbed\n',
}
_REFERENCE = """
[reference]
h5ad = {path}  # relative to this file
label_column = {label}  # what is to be told apart
{columns}# where = "tissue == 'blood'"  # only cells that match
# layer = "counts"  # where the raw counts are; X, else raw.X
# gene_column = "ensembl_id"  # of var
# embedding_key = "X_scvi"  # of obsm: vectors in the space of an embedding that was made elsewhere

[reference.terms]  # labels of the training half, and which term of the Cell Ontology each is
{terms}

[split]  # only the training half is looked at to choose cells; the other is held out for evaluation
by = {by}  # cell, or a column such as "donor_id": whole donors
train_fraction = 0.5
seed = 0
# or by the values of a column:
# by = "batch"
# train = ["batch-1", "batch-2"]
"""
_NO_REFERENCE = """
# [reference]  # data of the task itself; without it, the cells described below stand for it
# h5ad = "reference.h5ad"  # relative to this file
# label_column = "cell_type"
"""
_EXAMPLE = (
    f'cell_types = ["{PLACEHOLDER}"]  # such as "T cell", "CL:0000236": labels, ids or exact synonyms of the '
    "Cell Ontology"
)
_WANTED = """
[wanted]
# Without cell_types, the types of the labels of the reference.
{types}
descendants = true  # kinds of these types count too
# tissues = ["blood"]
# diseases = ["normal"]
# assays = ["10x 3' v3"]
"""
_EXCLUDE = """
[exclude]
reference = "all"  # cells of the reference found in the corpus: all, held-out (half) or none
by = ["joinid", "exact", "near"]  # how they are looked for
# dataset_ids = []
# where = "disease == 'normal'"
"""
_EXCLUDE_OF_DESCRIPTION = """
# [exclude]
# dataset_ids = []  # whole datasets, such as those to evaluate on
# where = "disease == 'normal'"
"""

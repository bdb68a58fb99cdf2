"""The cells of a reference: which there are, their halves, the labels of the training half."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.build.task.task import Task
from curate.errors import FilterError, SourceError, TaskError

if TYPE_CHECKING:
    from pathlib import Path

    from curate.corpus import Corpus
    from tests.build.task.conftest import Cells, WriteTask

BY_DONOR = '[split]\nby = "donor_id"\n'


def test_the_types_that_are_wanted_are_those_of_the_training_half(
    corpus: Corpus, foreign: Cells, write_task: WriteTask
) -> None:
    foreign.obs["batch"] = ["train" if i < 120 else "held" for i in range(200)]
    foreign.obs["cell_type"] = ["T cells"] * 70 + ["B cell"] * 30 + ["my cells"] * 20 + ["mast cell"] * 80
    task = Task.open(write_task('[split]\nby = "batch"\ntrain = ["train"]', reference=foreign), corpus)
    assert task.wanted == ("CL:0000084", "CL:0000236")
    assert task.reference is not None
    assert (task.reference.n_train, task.reference.n_held_out) == (120, 80)
    held = {label: (each.n_cells, each.term_id) for label, each in task.reference.labels.items()}
    assert held == {"T cells": (70, "CL:0000084"), "B cell": (30, "CL:0000236"), "my cells": (20, None)}
    assert any(
        "1 label of reference.h5ad unknown to the Cell Ontology, such as 'my cells'" in n for n in task.notes
    )


def test_the_document_says_which_terms_the_labels_are(
    corpus: Corpus, foreign: Cells, write_task: WriteTask
) -> None:
    foreign.obs["cell_type"] = ["Tc"] * 100 + ["B"] * 100
    terms = '[reference]\nh5ad = "reference.h5ad"\n[reference.terms]\nTc = "T cell"\nB = "CL:0000236"\n'
    task = Task.open(write_task(terms, reference=foreign), corpus)
    assert task.wanted == ("CL:0000084", "CL:0000236")
    with pytest.raises(TaskError, match=r"reference\.terms: 'B cel' is no term .*; did you mean 'B cell'"):
        Task.open(write_task(terms.replace("CL:0000236", "B cel"), reference=foreign), corpus)


def test_types_that_the_document_names_go_before_the_labels(
    corpus: Corpus, foreign: Cells, write_task: WriteTask
) -> None:
    task = Task.open(write_task('[wanted]\ncell_types = ["mast cell"]', reference=foreign), corpus)
    assert task.wanted == ("CL:0000097",)


def test_cells_without_a_label_are_left_out_of_the_training_half_and_told(
    corpus: Corpus, foreign: Cells, write_task: WriteTask
) -> None:
    foreign.obs["cell_type"] = ["unknown"] * 200
    whole = "[split]\ntrain_fraction = 1\n"
    with pytest.raises(TaskError, match=r"none of the 200 cells of .* has a label in 'cell_type'"):
        Task.open(write_task(whole, reference=foreign), corpus)
    foreign.obs["cell_type"] = ["unknown"] * 50 + ["T cell"] * 150
    task = Task.open(write_task(whole, reference=foreign), corpus)
    assert task.reference is not None
    assert (task.reference.n_train, task.reference.n_unlabelled) == (150, 50)
    assert any("50 cells of the training half" in note for note in task.notes)
    assert any("there is nothing to evaluate on" in note for note in task.notes)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            '[reference]\nh5ad = "reference.h5ad"\nlabel_column = "celltype"',
            TaskError,
            "no obs column 'celltype', which label_column names; did you mean 'cell_type'",
        ),
        (
            '[split]\nby = "donor"',
            TaskError,
            r"no obs column 'donor', which split\.by names; did you mean",
        ),
        (
            '[split]\nby = "tissue"\ntrain = ["moon"]',
            TaskError,
            "none of the 200 cells of reference.h5ad is in the training half, split by tissue; train names",
        ),
        ("[split]\ntrain_fraction = 1e-9", TaskError, "none of the 200 cells .*; raise train_fraction"),
        (
            '[split]\nby = "donor_id"\ntrain_fraction = 1e-9',
            TaskError,
            r"split by donor_id; it has \d+ values; name those for training",
        ),
        ('[reference]\nh5ad = "reference.h5ad"\nwhere = "tissu == 1"', FilterError, "did you mean 'tissue'"),
        (
            '[reference]\nh5ad = "reference.h5ad"\nwhere = "tissue == \'moon\'"',
            TaskError,
            "no cell of reference reference.h5ad matches its `where`",
        ),
        ('[reference]\nh5ad = "absent.h5ad"', TaskError, "absent.h5ad is not there; name an h5ad file"),
        (
            'kind = "integration"\n[reference]\nh5ad = "reference.h5ad"\nbatch_column = "batches"',
            TaskError,
            "no obs column 'batches', which batch_column names",
        ),
        (
            'kind = "perturbation"\n[reference]\nh5ad = "reference.h5ad"\nperturbation_column = "tissue"\n'
            'control = ["ntc"]',
            TaskError,
            "no cell of the training half of reference.h5ad has the control 'ntc' in tissue",
        ),
    ],
)
def test_a_reference_that_does_not_fit_its_document_is_one_line(
    corpus: Corpus, foreign: Cells, write_task: WriteTask, text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Task.open(write_task(text, reference=foreign), corpus)


def test_a_value_to_train_on_that_no_cell_has_is_named(
    corpus: Corpus, foreign: Cells, write_task: WriteTask
) -> None:
    tissue = foreign.obs["tissue"][0]
    text = f'[split]\nby = "tissue"\ntrain = ["{tissue}", "moon"]'
    with pytest.raises(TaskError, match=r"no cell of .* has 'moon' in tissue, which split\.train names"):
        Task.open(write_task(text, reference=foreign), corpus)


def test_a_file_that_is_no_h5ad_is_refused(corpus: Corpus, write_task: WriteTask, tmp_path: Path) -> None:
    (tmp_path / "reference.h5ad").write_text("no h5ad")
    with pytest.raises(SourceError, match="could not be read as h5ad"):
        Task.open(write_task('[reference]\nh5ad = "reference.h5ad"'), corpus)


def test_a_reference_larger_than_the_corpus_is_refused_with_both_sizes(
    corpus: Corpus, foreign: Cells, write_task: WriteTask
) -> None:
    many = foreign.at(np.resize(np.arange(200), corpus.n_cells + 1))
    many.names = [f"cell-{i}" for i in range(corpus.n_cells + 1)]
    message = f"reference.h5ad has {corpus.n_cells + 1:,} cells, corpus demo {corpus.n_cells:,}: it is larger"
    with pytest.raises(TaskError, match=message):
        Task.open(write_task(reference=many), corpus)


def test_cells_of_a_census_can_be_the_reference(
    corpus: Corpus, other_atlas: Path, write_task: WriteTask
) -> None:
    text = f'[reference]\ncensus = {{uri = "{other_atlas}"}}\nwhere = "tissue_general == \'blood\'"\n'
    task = Task.open(write_task(text + BY_DONOR), corpus)
    assert task.reference is not None
    assert task.reference.n_train > 0
    assert task.reference.n_held_out > 0
    assert "CL:0000860" in task.wanted
    again = Task.open(write_task(text + BY_DONOR), corpus).reference
    assert again is not None
    np.testing.assert_array_equal(again.rows, task.reference.rows)

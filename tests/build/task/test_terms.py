"""Texts to terms of the Cell Ontology."""

from __future__ import annotations

import pytest

from curate.build.task.terms import PLACEHOLDER, find_type, terms_of
from curate.errors import TaskError
from curate.ontology import Ontology


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.load()


def test_ids_labels_and_synonyms_are_found_once_each_and_in_order(ontology: Ontology) -> None:
    found = terms_of(["T cell", "CL:0000236", "B cell", "T-lymphocyte"], ontology, where="here")
    assert found == ("CL:0000084", "CL:0000236")


def test_an_unknown_label_is_refused_and_the_nearest_are_offered(ontology: Ontology) -> None:
    with pytest.raises(TaskError, match=r"here: 'B cel' is no term of .* \(.*\); did you mean 'B cell'"):
        terms_of(["B cel"], ontology, where="here")


def test_an_unknown_id_is_refused_and_the_nearest_are_offered_with_their_labels(ontology: Ontology) -> None:
    with pytest.raises(
        TaskError,
        match=r"'CL:00000840' is no term .*; no term has this id; give the label .*\(T cell\)",
    ):
        terms_of(["CL:00000840"], ontology, where="here")


def test_a_cells_type_is_told_by_its_term_else_by_its_label(ontology: Ontology) -> None:
    assert find_type("CL:0000236", "T cell", ontology) == "CL:0000236"
    assert find_type("unknown", "T cell", ontology) == "CL:0000084"
    assert find_type(None, "my favourite cells", ontology) is None


def test_the_placeholder_of_a_new_document_is_refused_as_one(ontology: Ontology) -> None:
    with pytest.raises(TaskError, match=r"wanted\.cell_types still holds the placeholder 'TO BE NAMED'"):
        terms_of([PLACEHOLDER], ontology, where="wanted.cell_types")

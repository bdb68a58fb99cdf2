"""Which cells of a corpus a task describes."""

from __future__ import annotations

import numpy as np
import pytest

from curate.build.task.description import match
from curate.corpus import Corpus
from curate.errors import TaskError
from curate.ontology import Ontology
from curate.task import Wanted

T_CELL, MEMORY_B, B_CELL, HEPATOCYTE = "CL:0000084", "CL:0000787", "CL:0000236", "CL:0000182"


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    return Ontology.load()


def test_cells_match_exactly_or_by_descent(corpus: Corpus, ontology: Ontology) -> None:
    labels = corpus.columns(["cell_type"])["cell_type"].cast(str)
    found = match(corpus, (MEMORY_B, B_CELL, HEPATOCYTE), Wanted(), ontology)
    n_memory, n_naive = (int((labels == name).sum()) for name in ("memory B cell", "naive B cell"))
    counts = {each.term_id: (each.n_exact, each.n_by_descent) for each in found.types}
    assert counts == {MEMORY_B: (n_memory, 0), B_CELL: (0, n_memory + n_naive), HEPATOCYTE: (0, 0)}
    # A memory B cell is wanted itself, and is not counted again as a kind of B cell.
    np.testing.assert_array_equal(found.exact, (labels == "memory B cell").to_numpy())
    np.testing.assert_array_equal(found.by_descent, (labels == "naive B cell").to_numpy())
    assert found.n_cells == n_memory + n_naive
    assert [each.term_id for each in found.absent(with_descendants=True)] == [HEPATOCYTE]
    assert [each.term_id for each in found.absent(with_descendants=False)] == [B_CELL, HEPATOCYTE]


def test_kinds_count_only_where_the_task_says_so(corpus: Corpus, ontology: Ontology) -> None:
    assert match(corpus, (T_CELL,), Wanted(descendants=False), ontology).n_cells == 0
    assert match(corpus, (T_CELL,), Wanted(), ontology).n_cells > 0


def test_tissue_disease_and_assay_must_all_fit_and_each_of_several_values_counts(
    corpus: Corpus, ontology: Ontology
) -> None:
    wanted = Wanted(tissues=("Kidney", "blood"), diseases=("COVID-19", "type 2 diabetes mellitus"))
    found = match(corpus, (), wanted, ontology)
    cells = corpus.columns(["tissue_general", "disease"])
    in_place = cells["tissue_general"].cast(str).is_in(["blood", "kidney"]).to_numpy()
    diseases = cells["disease"].cast(str).str.split(" || ")
    has = {name: diseases.list.contains(name).to_numpy() for name in wanted.diseases}
    assert all(mask.any() for mask in has.values())
    assert {each.value: each.n_cells for each in found.values if each.column == "disease"} == {
        name: mask.sum() for name, mask in has.items()
    }
    np.testing.assert_array_equal(found.every, in_place & np.logical_or(*has.values()))
    assert found.of_type.all()


def test_a_column_that_the_corpus_lacks_is_named(corpus: Corpus, ontology: Ontology) -> None:
    columns = tuple(name for name in corpus.header.columns if name != "assay")
    lacking = Corpus(corpus.path, corpus.header.model_copy(update={"columns": columns}))
    with pytest.raises(TaskError, match="corpus demo has no column 'assay'"):
        match(lacking, (), Wanted(assays=("10x 3' v3",)), ontology)

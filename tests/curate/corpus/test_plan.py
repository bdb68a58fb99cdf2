"""The first stage of a build: what a recipe needs of the Census, settled or refused before obs is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from curate.census import Census
from curate.corpus.build import build_corpus
from curate.corpus.plan import STANDARD_COLUMNS
from curate.errors import FilterError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from curate.corpus import Corpus
    from curate.recipe import Recipe

RULES = """
name = "any"
[cell_types]
descendants_of = "native cell"
min_ancestors = 3
[ontology]
source = "small.obo"
"""


def build(recipe: Recipe, store: Path, path: Path, **settings: Any) -> Corpus:
    with Census.open(uri=store) as census:
        return build_corpus(recipe, census, path, **settings)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            "[cells]\nfilter = \"dissease == 'normal'\"",
            r"needs the obs column 'dissease'.*did you mean 'disease'",
        ),
        ('[cells]\ncolumns = ["my_score"]', "columns needs the obs column 'my_score'"),
        (
            '[cell_types]\ndescendants_of = "naitve cell"\n[ontology]\nsource = "small.obo"',
            "descendants_of = 'naitve cell' names no term",
        ),
        (
            '[cell_types]\ndescendants_of = "T cell"\n[ontology]\nsource = "small.obo"',
            "descendants_of = 'T cell' has no kinds in the ontology",
        ),
        (
            '[ontology]\nsource = "none.obo"\n[cell_types]\nmin_ancestors = 3',
            r"none\.obo: no such ontology file",
        ),
        (
            '[genes]\nfeature_type = "ribosomal"',
            "no gene .* feature_type 'ribosomal'; it has lncRNA, protein_coding",
        ),
        (
            '[cells]\nassays = ["10x 3\' v2"]\n[cell_types]\nmin_cells = 7',
            r"keeps none of the 46 cells: the rule assays \(10x 3' v2\) drops 44",
        ),
        ("[cell_types]\nmin_cells = 47", r"keeps none of the 46 cells: the rule min_cells \(47\) drops 46"),
    ],
)
def test_a_recipe_that_cannot_be_applied_is_refused(
    rules: str, message: str, store: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        build(recipe('name = "any"\n' + rules), store, tmp_path / "corpora" / "corpus")
    assert not list(tmp_path.glob("corpora/*"))
    assert not list(tmp_path.glob("corpora/.*"))


@pytest.mark.parametrize("term", ["T foo", "T cell"])
def test_a_term_that_keeps_nothing_is_refused_before_obs_is_read(
    term: str, store: Path, recipe: Callable[[str], Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object, **__: object) -> None:
        pytest.fail("obs was read")

    monkeypatch.setattr(Census, "read_obs", read)
    wanted = recipe(RULES.replace("native cell", term))
    with pytest.raises(RecipeError, match=f"descendants_of = '{term}'"):
        build(wanted, store, tmp_path / "corpus")


def test_a_rule_on_a_column_that_the_release_lacks_is_refused(
    write_store: Callable[..., Path], recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    store = write_store(tmp_path / "old", schema_version="1.0.0")
    with pytest.raises(RecipeError, match="filter 'nnz >= 300' needs the obs column 'nnz'"):
        build(recipe('name = "any"\n[cells]\nfilter = "nnz >= 300"'), store, tmp_path / "corpus")


def test_a_filter_of_another_type_is_refused(
    store: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    with pytest.raises(FilterError, match="holds text"):
        build(recipe('name = "any"\n[cells]\nfilter = "donor_id == 3"'), store, tmp_path / "corpus")


def test_the_gene_list_orders_the_genes(store: Path, recipe: Callable[[str], Recipe], tmp_path: Path) -> None:
    (tmp_path / "genes.csv").write_text("feature_id\nENSG00000000003\nENSG00000000000\n")
    corpus = build(recipe('name = "any"\n[genes]\nlist = "genes.csv"'), store, tmp_path / "corpus")
    assert corpus.genes().feature_ids == ("ENSG00000000003", "ENSG00000000000")
    assert corpus.genes().feature_names == ("GENE3", "GENE0")
    assert corpus.var_joinids().tolist() == [3, 0]
    assert corpus.header.genes.digest == corpus.genes().digest


def test_genes_that_the_census_lacks_are_an_error_unless_allowed(
    store: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    (tmp_path / "genes.csv").write_text("feature_id\nENSG00000000002\nENSG99999999999\nENSG00000000001\n")
    with pytest.raises(RecipeError, match=r"lacks 1 of the 3 genes of the list; .* allow_missing = true"):
        build(recipe('name = "any"\n[genes]\nlist = "genes.csv"'), store, tmp_path / "corpus")
    allowed = recipe('name = "any"\n[genes]\nlist = "genes.csv"\nallow_missing = true')
    corpus = build(allowed, store, tmp_path / "corpus")
    assert corpus.var_joinids().tolist() == [2, 1]
    assert corpus.header.notes == ("genes: 1 of the 3 genes of the list are not in the Census",)


def test_a_feature_type_takes_the_genes_of_that_type_in_the_order_of_the_census(
    store: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    corpus = build(
        recipe('name = "any"\n[genes]\nfeature_type = "protein_coding"'), store, tmp_path / "corpus"
    )
    assert corpus.var_joinids().tolist() == [0, 2, 3]


def test_another_census_or_ontology_release_than_the_recipe_names_is_noted(
    store: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    text = RULES + 'release = "2023-05-22"\n[census]\nrelease = "2023-05-15"\n'
    corpus = build(recipe(text), store, tmp_path / "corpus")
    assert corpus.header.notes[:2] == (
        "census: the recipe names release 2023-05-15, this is 2026-01-31",
        "ontology: the recipe names release 2023-05-22, small.obo is 2020-02-03; "
        "cell types may be kept or dropped otherwise than there",
    )


def test_the_ontology_can_be_named_in_place_of_the_recipe_s(
    store: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    other = tmp_path / "other.obo"
    wanted = recipe(RULES)
    other.write_text((tmp_path / "small.obo").read_text().replace("2020-02-03", "2021-01-01"))
    corpus = build(wanted, store, tmp_path / "corpus", ontology=other)
    assert corpus.header.ontology is not None
    assert corpus.header.ontology.source == "other.obo"
    assert corpus.n_cells == 17 + 8 + 6  # B cells, T cells, monocytes


def test_columns_of_the_recipe_are_kept_beside_the_standard_ones(
    store: Path, recipe: Callable[[str], Recipe], tmp_path: Path
) -> None:
    wanted = recipe('name = "any"\n[cells]\ncolumns = ["n_measured_vars", "assay_ontology_term_id", "assay"]')
    corpus = build(wanted, store, tmp_path / "corpus")
    assert corpus.header.columns == (*STANDARD_COLUMNS, "n_measured_vars", "assay_ontology_term_id")
    assert corpus.columns(["n_measured_vars"])["n_measured_vars"].unique().to_list() == [4]

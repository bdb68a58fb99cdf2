"""Recipes: what a document may say, and the gene list that it means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curate.errors import RecipeError, SourceError
from curate.genes import GeneSpace
from curate.recipe import SHIPPED_PATH, Recipe

SHARED = Path(os.environ.get("CURATE_SHARED", "../shared")).resolve()
GENES = ("ENSG00000000003", "ENSG00000000005", "ENSG00000000419")


def write_recipe(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def write_genes(folder: Path, genes: tuple[str, ...] = GENES) -> Path:
    path = folder / "genes.csv"
    path.write_text("feature_id,feature_name\n" + "".join(f"{gene},name of {gene}\n" for gene in genes))
    return path


def test_a_name_is_all_that_a_recipe_must_say(tmp_path: Path) -> None:
    recipe = Recipe.load(write_recipe(tmp_path, 'name = "mine"'))
    assert (recipe.name, recipe.organism, recipe.ontology.source) == ("mine", "homo_sapiens", "guide")
    assert (recipe.cells.filter, recipe.cell_types.min_cells, recipe.gene_list()) == (None, None, None)


def test_the_sctab_recipe_states_the_rules_of_the_study() -> None:
    recipe = Recipe.load("sctab")
    assert recipe.census.release == "2023-05-15"
    assert recipe.cells.filter == "is_primary_data == True"
    assert recipe.cells.assays is not None
    assert len(recipe.cells.assays) == 7
    rules = recipe.cell_types
    assert (rules.descendants_of, rules.min_cells, rules.min_tech_samples, rules.min_ancestors) == (
        "native cell",
        5000,
        31,
        8,
    )
    assert recipe.ontology.release == "2023-05-22"
    assert recipe.genes.n == 19_331


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED_PATH.glob("*.toml")))
def test_a_shipped_recipe_loads_and_bears_the_name_of_its_file(name: str) -> None:
    recipe = Recipe.load(name)
    assert recipe.name == name
    assert recipe.description


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('nme = "mine"', "unknown key 'nme'; did you mean 'name'"),
        ('name = "mine"\n[cells]\nassay = []', r"unknown key 'cells\.assay'; did you mean 'assays'"),
        (
            'name = "mine"\n[cell_types]\nmin_tech_sample = 3',
            r"unknown key 'cell_types\.min_tech_sample'; did you mean 'min_tech_samples'",
        ),
        ('name = "mine"\n[zzz]\n', "unknown key 'zzz'; there are: name, description, organism, census"),
        ('description = "nameless"', "name: Field required"),
        ('name = "a/b"', "name: String should match pattern"),
        (
            'name = "mine"\n[cell_types]\nmin_cells = 0',
            r"cell_types\.min_cells: .* greater than or equal to 1",
        ),
        ('name = "mine"\n[cells]\nassays = []', r"cells\.assays: .* at least 1 item"),
        ('name = "mine"\n[cells]\nfilter = 3', r"cells\.filter: .* valid string"),
        (
            'name = "mine"\n[census]\nrelease = "a"\nuri = "b"',
            "census: name release or uri, not both",
        ),
        (
            'name = "mine"\n[genes]\nlist = "a"\nfeature_type = "b"',
            "genes: name list or feature_type, not both",
        ),
        ('name = "mine"\n[genes]\nn = 3', "genes: n, sha256 and allow_missing go with list"),
        ('name = "mine"\n[genes]\nlist = "a"\nsha256 = "xyz"', r"genes\.sha256: String should match pattern"),
        (
            'name = "mine"\n[cells]\nfilter = "nnz >"',
            r"cells\.filter: filter 'nnz >' does not parse at its end",
        ),
        ("name = ", "is not TOML"),
    ],
)
def test_a_document_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.load(write_recipe(tmp_path, text))
    assert "\n" not in str(caught.value).replace("\n  ", "")


def test_an_unknown_recipe_names_those_that_are_shipped(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no recipe 'sctb': .*; shipped are .*sctab"):
        Recipe.load("sctb")
    with pytest.raises(RecipeError, match="no recipe"):
        Recipe.load(tmp_path)


def test_the_digest_is_of_the_content_not_of_the_text(tmp_path: Path) -> None:
    first = Recipe.load(write_recipe(tmp_path, 'name = "mine"\norganism = "homo_sapiens"\n'))
    same = Recipe.load(write_recipe(tmp_path, '# a comment\norganism="homo_sapiens"\nname="mine"\n[cells]\n'))
    other = Recipe.load(write_recipe(tmp_path, 'name = "mine"\n[cells]\nfilter = "nnz >= 300"\n'))
    assert first.digest == same.digest != other.digest


def test_a_gene_list_is_found_beside_the_recipe(tmp_path: Path) -> None:
    write_genes(tmp_path)
    recipe = Recipe.load(write_recipe(tmp_path, 'name = "mine"\n[genes]\nlist = "genes.csv"\nn = 3'))
    genes = recipe.gene_list()
    assert genes is not None
    assert genes.feature_ids == GENES


def test_a_gene_list_is_found_in_the_current_folder_and_in_the_shared_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe.load(write_recipe(tmp_path, 'name = "mine"\n[genes]\nlist = "genes.csv"'))
    here, shared = tmp_path / "here", tmp_path / "shared" / "data" / "reference"
    for folder in (here, shared):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("CURATE_SHARED", str(tmp_path / "shared"))
    write_genes(shared, GENES[:2])
    assert recipe.gene_list() == GeneSpace.read(shared / "genes.csv")
    write_genes(here)
    assert recipe.gene_list() == GeneSpace.read(here / "genes.csv")


def test_a_gene_list_that_is_nowhere_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CURATE_SHARED", raising=False)
    recipe = Recipe.load(write_recipe(tmp_path, 'name = "mine"\n[genes]\nlist = "genes.csv"'))
    with pytest.raises(
        RecipeError, match=f"gene list genes.csv .* not in {tmp_path}, .*; name the file with --genes"
    ):
        recipe.gene_list()


def test_a_gene_list_of_another_length_or_content_is_refused(tmp_path: Path) -> None:
    digest = GeneSpace(GENES, GENES).digest
    text = f'name = "mine"\n[genes]\nlist = "genes.csv"\nn = 3\nsha256 = "{digest}"'
    recipe = Recipe.load(write_recipe(tmp_path, text))
    assert recipe.gene_list(write_genes(tmp_path)) is not None
    with pytest.raises(RecipeError, match="holds 2 genes, recipe mine means one of 3"):
        recipe.gene_list(write_genes(tmp_path, GENES[:2]))
    with pytest.raises(RecipeError, match=f"not those that recipe mine means, .* not {digest[:12]}"):
        recipe.gene_list(write_genes(tmp_path, GENES[::-1]))
    with pytest.raises(SourceError, match="gene table"):
        recipe.gene_list(tmp_path / "none.csv")


def test_a_gene_list_for_a_recipe_that_takes_none_is_refused(tmp_path: Path) -> None:
    recipe = Recipe.load(write_recipe(tmp_path, 'name = "mine"'))
    with pytest.raises(RecipeError, match="recipe mine takes no gene list"):
        recipe.gene_list(write_genes(tmp_path))


def test_relative_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    recipe = Recipe.load(write_recipe(tmp_path, 'name = "mine"'))
    assert recipe.beside("cl.obo") == str(tmp_path / "cl.obo")
    assert recipe.beside("/data/cl.obo") == "/data/cl.obo"
    assert recipe.beside("s3://bucket/census") == "s3://bucket/census"


@pytest.mark.skipif(not SHARED.is_dir(), reason="reference data not here; name its folder in CURATE_SHARED")
def test_the_gene_list_of_the_study_is_the_one_that_the_sctab_recipe_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CURATE_SHARED", str(SHARED))
    genes = Recipe.load("sctab").gene_list()
    assert genes is not None
    assert genes.n_genes == 19_331
    assert genes.digest == Recipe.load("sctab").genes.sha256

"""Names to ids, ancestors and descendants, from an OBO file and from the bundled guide."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from curate.errors import RecipeError
from curate.ontology import Ontology

OBO = """format-version: 1.2
data-version: cl/releases/2020-02-03/cl.owl
ontology: cl

[Term]
id: CL:0000000
name: cell
is_a: UBERON:0000061 ! anatomical structure

[Term]
id: UBERON:0000061
name: anatomical structure

[Term]
id: CL:0000003
name: native cell
is_a: CL:0000000 {is_inferred="true"} ! cell

[Term]
id: CL:0000542
name: lymphocyte
alt_id: CL:0000999
is_a: CL:0000003 ! native cell

[Term]
id: CL:0000236
name: B cell
synonym: "B lymphocyte" EXACT []
synonym: "white cell" EXACT []
synonym: "immune cell" BROAD []
intersection_of: CL:0000542 ! lymphocyte
intersection_of: RO:0002215 GO:0001816
relationship: RO:0002202 CL:0000826 ! pro-B cell

[Term]
id: CL:0000826
name: pro-B cell
synonym: "white cell" EXACT []
is_a: CL:0000000 ! cell

[Term]
id: CL:0000004
name: obsolete cell by organism
synonym: "organism cell" EXACT []
is_obsolete: true
replaced_by: CL:0000000

[Term]
id: CL:0000005
name: obsolete nothing
is_obsolete: true
"""
SHARED = Path(os.environ.get("CURATE_SHARED", "../shared")) / "data" / "reference"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Ontology:
    path = tmp_path_factory.mktemp("ontology") / "small.obo"
    path.write_text(OBO)
    return Ontology.load(path)


@pytest.fixture(scope="module")
def guide() -> Ontology:
    return Ontology.load("guide")


def test_release_is_the_date_of_data_version(small: Ontology) -> None:
    assert (small.release, small.record.source, small.record.edges) == ("2020-02-03", "small.obo", "is_a")
    assert small.record.sha256 is not None
    assert len(small.record.sha256) == 64


@pytest.mark.parametrize(
    ("text", "term_id"),
    [
        ("CL:0000236", "CL:0000236"),
        ("B cell", "CL:0000236"),
        ("b Cell", "CL:0000236"),
        ("B lymphocyte", "CL:0000236"),
        ("CL:0000999", "CL:0000542"),
        ("immune cell", None),
        ("white cell", None),
        ("CL:0000004", None),
        ("obsolete cell by organism", None),
        ("organism cell", None),
        ("unknown", None),
        ("UBERON:0000061", None),
    ],
    ids=[
        "id",
        "label",
        "label in another case",
        "exact synonym",
        "alternative id",
        "broad synonym is no name",
        "synonym of two terms is ambiguous",
        "obsolete id",
        "obsolete label",
        "synonym of an obsolete term",
        "no term",
        "term of another ontology",
    ],
)
def test_names_resolve_to_terms_in_use_only(small: Ontology, text: str, term_id: str | None) -> None:
    assert small.id_of(text) == term_id


def test_ancestors_follow_is_a_and_the_genus_of_a_definition_and_exclude_the_term(small: Ontology) -> None:
    assert small.ancestors("CL:0000236") == {"CL:0000542", "CL:0000003", "CL:0000000"}


def test_ancestors_leave_out_other_relations_and_other_ontologies(small: Ontology) -> None:
    assert "CL:0000826" not in small.ancestors("CL:0000236")
    assert small.ancestors("CL:0000000") == frozenset()


def test_descendants_are_the_inverse_of_ancestors(small: Ontology) -> None:
    assert small.descendants("CL:0000003") == {"CL:0000542", "CL:0000236"}
    assert small.descendants("CL:0000236") == frozenset()


def test_an_id_that_is_no_term_is_a_key_error(small: Ontology) -> None:
    for lookup in (small.label, small.ancestors, small.descendants):
        with pytest.raises(KeyError, match="CL:9"):
            lookup("CL:9")


@pytest.mark.parametrize("text", ["CL:0000004", "cell by organism", "obsolete cell by organism"])
def test_an_obsolete_term_has_a_replacement_when_the_ontology_names_one(small: Ontology, text: str) -> None:
    assert small.replacement(text) == "CL:0000000"
    assert small.replacement("CL:0000005") is None
    assert small.replacement("B cell") is None
    assert "CL:0000004" not in small
    assert small.label("CL:0000004") == "obsolete cell by organism"


def test_a_missing_file_says_what_to_name_instead(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such ontology file; name an OBO file or 'guide'"):
        Ontology.load(tmp_path / "none.obo")


@pytest.mark.parametrize("text", ["", "cell_type,n\nB cell,3\n", "\x00\x01[Term]\n"])
def test_a_file_that_is_not_obo_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.obo"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"wrong\.obo (cannot be read as OBO|holds no terms)"):
        Ontology.load(path)


def test_the_guide_resolves_labels_ids_and_synonyms(guide: Ontology) -> None:
    assert guide.id_of("B cell") == guide.id_of("B lymphocyte") == guide.id_of("CL:0000236") == "CL:0000236"
    assert guide.label("CL:0000236") == "B cell"
    assert {"CL:0000542", "CL:0000000"} <= guide.ancestors("CL:0000236")
    assert "CL:0000236" not in guide.ancestors("CL:0000236")
    assert "CL:0000236" in guide.descendants("CL:0000542")


def test_the_guide_says_that_native_cell_gave_way_to_cell(guide: Ontology) -> None:
    assert guide.id_of("native cell") is None
    assert guide.replacement("native cell") == "CL:0000000"


def test_the_guide_gives_a_release_it_has_and_its_latest_for_one_it_has_not(guide: Ontology) -> None:
    assert Ontology.load("guide", release=guide.release).release == guide.release
    assert Ontology.load("guide", release="2023-05-22").release == guide.release


@pytest.mark.skipif(not SHARED.is_dir(), reason="reference data not here; name its folder in CURATE_SHARED")
def test_the_types_of_the_study_resolve_in_a_real_base_file() -> None:
    ontology = Ontology.load(SHARED / "cl-base.obo")
    types = pl.read_csv(SHARED / "sctab_like_cell_counts.csv")
    ids = types["cell_type_ontology_term_id"].to_list()
    assert [ontology.id_of(label) for label in types["cell_type"]] == ids
    native = ontology.descendants("CL:0000003")
    # The base file holds asserted axioms. This one term has neither a parent nor a definition there.
    assert [ontology.label(i) for i in ids if i not in native] == ["oligodendrocyte precursor cell"]
    # The study counted ancestors in a reasoned file, where these ten have more than seven too.
    shallow = {ontology.label(i) for i in ids if len(ontology.ancestors(i)) <= 7}
    assert len(shallow) == 10
    assert {"leukocyte", "dendritic cell", "type II pneumocyte"} < shallow


def test_parents_are_the_nearest_ancestors_and_children_their_inverse(small: Ontology) -> None:
    assert small.parents("CL:0000236") == {"CL:0000542"}
    assert small.parents("CL:0000542") == {"CL:0000003"}
    assert small.parents("CL:0000000") == frozenset()
    assert small.children("CL:0000000") == {"CL:0000003", "CL:0000826"}
    assert small.children("CL:0000236") == frozenset()
    with pytest.raises(KeyError):
        small.parents("CL:7")


def test_an_edge_that_a_longer_way_goes_beside_is_none(guide: Ontology) -> None:
    for term_id in ("CL:0000895", "CL:0000860", "CL:0000679"):
        parents = guide.parents(term_id)
        assert parents
        assert not any(one in guide.ancestors(other) for one in parents for other in parents)
        above = set(parents).union(*(guide.ancestors(each) for each in parents if each in guide.terms))
        assert above == guide.ancestors(term_id)

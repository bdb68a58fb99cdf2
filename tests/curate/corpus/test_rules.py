"""The rules on cell types, each against counts made by hand."""

from __future__ import annotations

import polars as pl
import pytest

from curate.corpus.rules import TALLIED, TypeOutcome, apply_type_rules
from curate.errors import RecipeError
from curate.ontology import Ontology, OntologyRecord, Term
from curate.recipe import CellTypeRules

ONTOLOGY = Ontology(
    OntologyRecord(source="hand", release="2020-01-01", edges="is_a"),
    {
        "CL:0": Term("cell"),
        "CL:3": Term("native cell", ancestors=frozenset({"CL:0"})),
        "CL:542": Term("lymphocyte", ancestors=frozenset({"CL:3", "CL:0"})),
        "CL:236": Term("B cell", ("B lymphocyte",), frozenset({"CL:542", "CL:3", "CL:0"})),
        "CL:10": Term("cultured cell", ancestors=frozenset({"CL:0"})),
        "CL:99": Term("obsolete B-cell of old", obsolete=True, replaced_by="CL:236"),
        "CL:98": Term("obsolete in vivo cell", obsolete=True, replaced_by="CL:3"),
    },
    {},
)


def tally(*rows: tuple[str, str, str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=[*TALLIED, "n_cells"], orient="row")


CELLS = tally(
    ("B cell", "CL:236", "a", "1", 3),
    ("B cell", "CL:236", "a", "2", 2),
    ("B cell", "CL:236", "b", "1", 1),
    ("lymphocyte", "CL:542", "a", "1", 9),
    ("cultured cell", "CL:10", "b", "1", 4),
    ("mystery", "unknown", "b", "2", 5),
)


def kept(outcome: TypeOutcome) -> set[str]:
    assert outcome.kept is not None
    return set(outcome.kept)


def numbers(outcome: TypeOutcome) -> dict[str, tuple[int, int]]:
    return {each.rule: (each.n_cells, each.n_matching) for each in outcome.dropped}


def test_without_a_rule_every_type_is_kept() -> None:
    outcome = apply_type_rules(CELLS, CellTypeRules(), None)
    assert kept(outcome) == {"B cell", "lymphocyte", "cultured cell", "mystery"}
    assert (outcome.dropped, outcome.notes) == ((), ())


def test_min_cells_keeps_a_type_with_exactly_that_many() -> None:
    outcome = apply_type_rules(CELLS, CellTypeRules(min_cells=5), None)
    assert kept(outcome) == {"B cell", "lymphocyte", "mystery"}
    assert numbers(outcome) == {"min_cells": (4, 4)}


def test_a_tech_sample_is_a_donor_of_a_dataset() -> None:
    """Donor 1 of dataset a is not donor 1 of dataset b: B cells have three tech samples, not two."""
    assert kept(apply_type_rules(CELLS, CellTypeRules(min_tech_samples=3), None)) == {"B cell"}
    assert kept(apply_type_rules(CELLS, CellTypeRules(min_tech_samples=4), None)) == set()


def test_descendants_exclude_the_term_itself_and_types_without_a_term() -> None:
    outcome = apply_type_rules(CELLS, CellTypeRules(descendants_of="lymphocyte"), ONTOLOGY)
    assert kept(outcome) == {"B cell"}
    assert outcome.dropped[0].values == {"lymphocyte": 9, "mystery": 5, "cultured cell": 4}
    assert outcome.notes == ("cell types without a term in 2020-01-01 (5 cells): 'mystery'",)


def test_min_ancestors_counts_the_ancestors_of_the_term_without_itself() -> None:
    outcome = apply_type_rules(CELLS, CellTypeRules(min_ancestors=2), ONTOLOGY)
    assert kept(outcome) == {"B cell", "lymphocyte"}
    assert numbers(outcome) == {"min_ancestors": (9, 9)}


def test_rules_run_in_order_and_also_say_what_each_drops_by_itself() -> None:
    rules = CellTypeRules(descendants_of="native cell", min_cells=5, min_tech_samples=2, min_ancestors=3)
    outcome = apply_type_rules(CELLS, rules, ONTOLOGY)
    assert kept(outcome) == {"B cell"}
    assert numbers(outcome) == {
        "descendants_of": (9, 9),  # cultured cell 4, mystery 5
        "min_cells": (0, 4),  # cultured cell
        "min_tech_samples": (9, 18),  # lymphocyte 9; cultured cell 4, mystery 5
        "min_ancestors": (0, 18),  # lymphocyte 9; cultured cell 4, mystery 5
    }
    assert [list(each.values) for each in outcome.dropped] == [
        ["mystery", "cultured cell"],
        [],
        ["lymphocyte"],
        [],
    ]


@pytest.mark.parametrize("name", ["CL:3", "native cell", "NATIVE CELL"])
def test_descendants_of_takes_an_id_or_a_label(name: str) -> None:
    outcome = apply_type_rules(CELLS, CellTypeRules(descendants_of=name), ONTOLOGY)
    assert kept(outcome) == {"B cell", "lymphocyte"}


def test_an_obsolete_term_in_descendants_of_is_replaced_and_noted() -> None:
    outcome = apply_type_rules(CELLS, CellTypeRules(descendants_of="in vivo cell"), ONTOLOGY)
    assert kept(outcome) == {"B cell", "lymphocyte"}
    assert (
        "'in vivo cell' is obsolete in 2020-01-01; its replacement 'native cell' (CL:3)" in outcome.notes[-1]
    )


def test_a_term_that_is_none_is_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"descendants_of = 'naitve cell' names no term .*\(hand, 2020-01-01\)"
    ):
        apply_type_rules(CELLS, CellTypeRules(descendants_of="naitve cell"), ONTOLOGY)


def test_the_term_id_goes_before_the_label_which_may_have_changed() -> None:
    renamed = tally(("B lymphoid cell", "CL:236", "a", "1", 1), ("B lymphocyte", "unknown", "a", "1", 1))
    outcome = apply_type_rules(renamed, CellTypeRules(descendants_of="native cell"), ONTOLOGY)
    assert kept(outcome) == {"B lymphoid cell", "B lymphocyte"}


def test_a_type_whose_term_is_obsolete_counts_as_the_replacement_and_is_noted() -> None:
    old = tally(("B-cell of old", "CL:99", "a", "1", 2))
    outcome = apply_type_rules(old, CellTypeRules(min_ancestors=3), ONTOLOGY)
    assert kept(outcome) == {"B-cell of old"}
    assert outcome.notes == (
        "cell types obsolete in 2020-01-01, taken for what replaced them: 'B-cell of old' as 'B cell'",
    )


def test_a_label_with_several_terms_is_one_type_with_the_term_of_most_cells() -> None:
    mixed = tally(
        ("B cell", "CL:10", "a", "1", 2),
        ("B cell", "CL:236", "a", "1", 3),
        ("B cell", "unknown", "b", "1", 9),
    )
    rules = CellTypeRules(descendants_of="native cell", min_cells=14)
    assert kept(apply_type_rules(mixed, rules, ONTOLOGY)) == {"B cell"}


def test_the_order_of_the_tally_does_not_matter() -> None:
    rules = CellTypeRules(descendants_of="native cell", min_cells=5, min_ancestors=3)
    assert apply_type_rules(CELLS[::-1], rules, ONTOLOGY) == apply_type_rules(CELLS, rules, ONTOLOGY)

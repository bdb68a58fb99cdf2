"""Which types are alike, which differ and which are neither; what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from curate.build.task.target import TaskTarget
from curate.errors import ModelError
from curate.ontology import Ontology
from curate.train.models.contrastive_types import TypeFacts, alike_and_different, learn_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.train.shards import Shards
    from tests.train.models.conftest import Relabel

TYPES = ["X:B", "X:M4", "X:R8", "X:T", "X:T4", "X:T8", "X:bone", "nonsense", "unknown"]


@pytest.fixture(autouse=True)
def _guide(ontology: Ontology, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ontology, "load", lambda: ontology)


def target(ontology: Ontology, *wanted: str, with_descendants: bool = True) -> TaskTarget:
    return TaskTarget("mine", tuple(wanted), with_descendants, ontology)


def of_types(relabel: Relabel, types: Sequence[str | None], *, n_datasets: int = 2) -> Shards:
    """Return shards with these types in turn, each in every dataset."""
    return relabel(
        cell_type_ontology_term_id=lambda row: types[row % len(types)],
        dataset_id=lambda row: f"dataset-{row // len(types) % n_datasets}",
    )


def learned(
    shards: Shards, task: TaskTarget | None = None, *, across: str | None = "dataset_id"
) -> TypeFacts:
    return learn_types(shards, across=across, task=task)


def relation(facts: TypeFacts, first: str, second: str) -> str:
    alike, different = alike_and_different(facts)
    i, j = facts.types.index(first), facts.types.index(second)
    assert alike[i, j] == alike[j, i]
    assert different[i, j] == different[j, i]
    return {(True, False): "alike", (False, True): "different", (False, False): "neither"}[
        bool(alike[i, j]), bool(different[i, j])
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("X:T4", "X:T4", "alike"),
        ("X:T4", "X:T8", "different"),
        ("X:T4", "X:B", "different"),
        ("X:T", "X:T4", "neither"),
        ("X:T", "X:M4", "neither"),
        ("X:T", "X:bone", "different"),
        ("X:R8", "X:T8", "alike"),
        ("unknown", "unknown", "neither"),
        ("unknown", "X:B", "neither"),
        ("nonsense", "X:B", "neither"),
    ],
)
def test_only_equal_types_are_alike_and_only_unrelated_ones_differ(
    relabel: Relabel, first: str, second: str, expected: str
) -> None:
    assert relation(learned(of_types(relabel, [*TYPES, None])), first, second) == expected


def test_the_relations_are_those_of_a_loop_over_the_ontology(relabel: Relabel, ontology: Ontology) -> None:
    facts = learned(of_types(relabel, TYPES))
    for first in facts.types:
        for second in facts.types:
            a, b = (dict(zip(facts.types, facts.terms, strict=True))[each] for each in (first, second))
            if a is None or b is None:
                expected = "neither"
            elif a == b:
                expected = "alike"
            else:
                is_kin = a in ontology.ancestors(b) or b in ontology.ancestors(a)
                expected = "neither" if is_kin else "different"
            assert relation(facts, first, second) == expected


def test_a_cell_without_a_type_is_neither_to_any() -> None:
    facts = TypeFacts(
        types=("X:B", "X:T"),
        terms=("X:B", "X:T"),
        kin=(),
        ontology={"source": "made", "release": "1", "edges": "is_a"},
    )
    alike, different = alike_and_different(facts)
    np.testing.assert_array_equal(alike, np.diag([True, True, False]))
    np.testing.assert_array_equal(different, [[0, 1, 0], [1, 0, 0], [0, 0, 0]])


def test_types_are_those_of_all_splits_in_the_order_of_the_loader(relabel: Relabel) -> None:
    from curate.train.loader import Dense, ShardLoader

    shards = of_types(relabel, [*TYPES, None])
    facts = learned(shards)
    loader = ShardLoader(
        shards, Dense(shards.header.n_genes), split="val", labels={"type": ("cell_type_ontology_term_id",)}
    )
    assert list(facts.types) == loader.categories["type"]
    assert facts.ontology.release == "2026-01-01"


def test_a_kind_of_a_wanted_type_counts_as_it(relabel: Relabel, ontology: Ontology) -> None:
    facts = learned(of_types(relabel, TYPES), target(ontology, "X:T"))
    terms = dict(zip(facts.types, facts.terms, strict=True))
    assert {terms[each] for each in ("X:T", "X:T4", "X:T8", "X:R8", "X:M4")} == {"X:T"}
    assert terms["X:B"] == "X:B"
    assert terms["unknown"] is None
    assert (facts.wanted, facts.task) == (("X:T",), "mine")
    assert relation(facts, "X:T4", "X:T8") == "alike"
    assert relation(facts, "X:T4", "X:B") == "different"


def test_of_wanted_types_that_are_kinds_of_one_another_the_lowest_counts(
    relabel: Relabel, ontology: Ontology
) -> None:
    facts = learned(of_types(relabel, TYPES), target(ontology, "X:T", "X:T4"))
    terms = dict(zip(facts.types, facts.terms, strict=True))
    assert (terms["X:M4"], terms["X:T8"], terms["X:T"]) == ("X:T4", "X:T", "X:T")
    # A T cell that may be a T4 is neither.
    assert relation(facts, "X:T8", "X:M4") == "neither"


def test_a_kind_of_two_wanted_types_side_by_side_stays_what_it_is(
    relabel: Relabel, ontology: Ontology
) -> None:
    facts = learned(of_types(relabel, [*TYPES, "X:memory"]), target(ontology, "X:T4", "X:T8", "X:memory"))
    terms = dict(zip(facts.types, facts.terms, strict=True))
    assert terms["X:M4"] == "X:M4"
    assert relation(facts, "X:M4", "X:T4") == relation(facts, "X:M4", "X:memory") == "neither"
    assert relation(facts, "X:M4", "X:T8") == "different"
    # It is wanted all the same.
    assert facts.wanted == ("X:M4", "X:T4", "X:T8", "X:memory")


def test_without_descendants_kinds_of_a_wanted_type_stay_what_they_are(
    relabel: Relabel, ontology: Ontology
) -> None:
    facts = learned(of_types(relabel, TYPES), target(ontology, "X:T4", with_descendants=False))
    assert dict(zip(facts.types, facts.terms, strict=True))["X:M4"] == "X:M4"
    assert facts.wanted == ("X:T4",)
    assert relation(facts, "X:M4", "X:T4") == "neither"


@pytest.mark.parametrize(
    ("types", "message"),
    [
        (["X:T4"], r"all \d+ training cells with a type are of one type: T4; .*build a manifest of more"),
        (["X:T4", "unknown", None], r"all \d+ training cells with a type are of one type: T4"),
        (["X:T8", "X:R8"], "of one type: T8"),
        (["unknown", None, "nonsense"], r"no training cell has a type in .* \(2026-01-01\) knows"),
        (
            ["X:T", "X:T4", "X:M4"],
            "3 types of the training cells each two are related .* a kind of T: no cell",
        ),
    ],
    ids=["one type", "one known type", "one type under two ids", "no known type", "all related"],
)
def test_cells_without_two_types_to_tell_apart_are_refused(
    relabel: Relabel, types: list[str | None], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        learned(of_types(relabel, types))
    assert "\n" not in str(caught.value)


def test_cells_of_a_type_in_one_dataset_only_are_refused_unless_positives_may_share_it(
    relabel: Relabel,
) -> None:
    shards = of_types(relabel, ["X:B", "X:T4"], n_datasets=1)
    with pytest.raises(
        ModelError, match=r"none of the 2 types .* has cells in two values of dataset_id.*across=none"
    ):
        learned(shards)
    assert relation(learned(shards, across=None), "X:B", "X:T4") == "different"


def test_a_type_in_one_dataset_is_a_negative_beside_one_in_two(relabel: Relabel) -> None:
    shards = relabel(
        cell_type_ontology_term_id=lambda row: "X:B" if row % 3 == 0 else "X:T4",
        dataset_id=lambda row: "a" if row % 3 == 0 else f"dataset-{row % 2}",
    )
    assert relation(learned(shards), "X:B", "X:T4") == "different"


def test_positives_only_of_a_type_that_has_no_negatives_are_refused(relabel: Relabel) -> None:
    # Blood cells are in two datasets; B and T differ, but each lies in one.
    shards = relabel(
        cell_type_ontology_term_id=lambda row: ["X:blood", "X:blood", "X:B", "X:T"][row % 4],
        dataset_id=lambda row: ["a", "b", "a", "b"][row % 4],
    )
    with pytest.raises(ModelError, match=r"none of the 3 types .* both positives \(1 have\) and negatives"):
        learned(shards)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (("X:bone", "X:B"), r"no training cell is of any of the 2 types that task mine wants \(bone, B\)"),
        ((), "task mine names no cell types; give it wanted.cell_types"),
        (("X:T",), "one type at the level of task mine: T;"),
    ],
    ids=["absent", "none named", "all of one wanted type"],
)
def test_a_task_that_the_cells_cannot_serve_is_refused(
    relabel: Relabel, ontology: Ontology, wanted: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        learned(of_types(relabel, ["X:T4", "X:T8"]), target(ontology, *wanted))
    assert "\n" not in str(caught.value)


def test_an_absent_type_beside_one_that_is_there_is_no_error(relabel: Relabel, ontology: Ontology) -> None:
    facts = learned(of_types(relabel, ["X:T4", "X:T8"]), target(ontology, "X:bone", "X:T8"))
    assert facts.wanted == ("X:T8",)

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.build.strategies.ontology import ontology
from curate.build.strategies.ontology_kin import Kin, Ring, absent_types, find_kin
from curate.errors import SelectionError
from curate.ontology import Ontology, OntologyRecord, Term

#   cell ─┬─ blood ─┬─ lymphocyte ─┬─ T ─┬─ CD4 ─── Treg
#         │         │              │     └─ CD8
#         │         │              └─ B ─── plasma
#         │         └─ monocyte
#         └─ epithelium ─── gut
PARENTS = {
    "blood": "cell",
    "lymphocyte": "blood",
    "T": "lymphocyte",
    "CD4": "T",
    "Treg": "CD4",
    "CD8": "T",
    "B": "lymphocyte",
    "plasma": "B",
    "monocyte": "blood",
    "epithelium": "cell",
    "gut": "epithelium",
}
SIZES = {"T": 50, "CD4": 40, "Treg": 3, "CD8": 60, "B": 30, "plasma": 20, "monocyte": 100, "gut": 200}
N = sum(SIZES.values())


def above(name: str) -> list[str]:
    return [PARENTS[name], *above(PARENTS[name])] if name in PARENTS else []


TERMS = Ontology(
    OntologyRecord(source="small", release="2026-01-01", edges="is_a"),
    {name: Term(label=f"{name} cell", ancestors=frozenset(above(name))) for name in ("cell", *PARENTS)},
    {},
)


def corpus(sizes: dict[str, int] = SIZES) -> pl.DataFrame:
    terms = [name for name, size in sizes.items() for _ in range(size)]
    return pl.DataFrame(
        {"cell_type_ontology_term_id": terms, "cell_type": [f"{name} cell" for name in terms]}
    ).sample(fraction=1, shuffle=True, seed=3)


def choose(n: int, *, cells: pl.DataFrame | None = None, seed: int = 0, **changed: Any) -> Any:
    held = corpus() if cells is None else cells
    keys = np.random.default_rng([1, seed]).integers(0, 2**64, len(held), dtype=np.uint64)
    settings: dict[str, Any] = {"wanted": ("T",), "terms": TERMS} | changed
    return ontology(held, None, n, keys=keys, rng=np.random.default_rng(seed), **settings)


def quotas(n: int, *, cells: pl.DataFrame | None = None, **changed: Any) -> dict[str, int]:
    held = corpus() if cells is None else cells
    chosen = held[choose(n, cells=held, **changed).rows.tolist()]
    return dict(chosen.group_by("cell_type_ontology_term_id").len().iter_rows())


def test_kin_are_counted_in_edges_up_and_down() -> None:
    names = ["T", "CD4", "Treg", "B", "plasma", "monocyte", "lymphocyte", "cell", "gut"]
    found = find_kin(names, ["T"], TERMS, with_descendants=True)
    assert found == {
        "T": Kin(Ring.WANTED, 0),
        "CD4": Kin(Ring.WANTED, 1),
        "Treg": Kin(Ring.WANTED, 2),
        "B": Kin(Ring.SIBLING, 2),
        "plasma": Kin(Ring.SIBLING, 3),
        "monocyte": Kin(Ring.FARTHER, 3),
        # What a T cell is a kind of is no negative: such a cell may be a T cell.
        "lymphocyte": Kin(Ring.FARTHER, 1),
        "cell": Kin(Ring.FARTHER, 3),
        "gut": Kin(Ring.FARTHER, 5),
    }


def test_without_descendants_kinds_are_neither_wanted_nor_negatives() -> None:
    found = find_kin(["T", "CD4", "B"], ["T"], TERMS, with_descendants=False)
    assert [found[each].ring for each in ("T", "CD4", "B")] == [Ring.WANTED, Ring.FARTHER, Ring.SIBLING]


def test_of_several_wanted_types_the_nearest_counts() -> None:
    found = find_kin(["plasma", "CD8", "monocyte"], ["CD4", "B"], TERMS, with_descendants=True)
    assert found == {
        "plasma": Kin(Ring.WANTED, 1),
        "CD8": Kin(Ring.SIBLING, 2),
        "monocyte": Kin(Ring.FARTHER, 3),
    }


def test_a_wanted_type_is_absent_unless_a_kind_of_it_is_there_and_counts() -> None:
    assert absent_types(["T", "gut"], ["CD4"], TERMS, with_descendants=True) == ["gut"]
    assert absent_types(["T", "gut"], ["CD4"], TERMS, with_descendants=False) == ["T", "gut"]


def test_quotas_halve_with_each_step_and_small_types_give_all() -> None:
    # 80 % of 50 are 40 for T 1, CD4 1/2, CD8 1/2, Treg 1/4; Treg has 3 of its 4.4, 37 are left for 2 parts.
    # 10 are left for B 1/4 and plasma 1/8.
    assert quotas(50) == {"T": 19, "CD4": 9, "CD8": 9, "Treg": 3, "B": 7, "plasma": 3}


def test_without_decay_all_types_are_alike() -> None:
    found = quotas(40, decay=1.0, negatives=0.5)
    assert (found["B"], found["plasma"], found["Treg"]) == (10, 10, 3)
    # 17 are left for three: who gets the one less is drawn.
    assert sorted(found[each] for each in ("T", "CD4", "CD8")) == [5, 6, 6]


def test_without_negatives_all_cells_are_wanted_ones() -> None:
    assert set(quotas(100, negatives=0.0)) == {"T", "CD4", "CD8", "Treg"}


def test_what_siblings_cannot_fill_goes_to_the_next_types_by_distance() -> None:
    # 90 negatives: 50 siblings are all there are; monocytes (3 steps) before gut (5 steps), four to one.
    found = quotas(180, negatives=0.5)
    assert found["B"] + found["plasma"] == 50
    assert (found["monocyte"], found["gut"]) == (32, 8)


def test_what_wanted_types_cannot_fill_goes_on_and_is_said() -> None:
    selection = choose(300)
    notes = selection.notes
    assert notes["n_wanted"] == notes["n_wanted_there"] == 153
    assert notes["n_siblings"] == 50
    assert notes["n_farther"] == 97
    assert "the wanted types have 153 of the 240 cells asked of them" in str(notes["notice"])
    assert "Treg cell 3 of 27" in str(notes["unmet"])


def test_notes_name_quotas_and_absent_types() -> None:
    notes = choose(50, wanted=("T", "gut"), cells=corpus(SIZES | {"gut": 0})).notes
    assert notes["quotas_siblings"] == "B cell 7 of 30 (steps 2), plasma cell 3 of 20 (steps 3)"
    assert str(notes["quotas_wanted"]).startswith("T cell 19 of 50 (steps 0), ")
    assert notes["absent"] == "gut cell"
    assert notes["notice"] == "the corpus has no cell of gut cell"


def test_cells_without_a_type_come_last() -> None:
    cells = corpus(SIZES | {"unknown": 40}).with_columns(
        cell_type_ontology_term_id=pl.col("cell_type_ontology_term_id").replace("unknown", None)
    )
    assert None not in quotas(N, cells=cells)
    assert quotas(N + 7, cells=cells)[None] == 7  # type: ignore[index]


def test_negatives_that_no_type_can_fill_go_back_to_the_wanted_ones() -> None:
    cells = corpus({"T": 100, "B": 5, "unknown": 40})
    selection = choose(60, cells=cells)
    assert quotas(60, cells=cells) == {"T": 55, "B": 5}
    assert "their siblings have 5 of the 12 cells asked of them" in str(selection.notes["notice"])


def test_a_cell_whose_term_says_nothing_is_known_by_its_label() -> None:
    cells = corpus()
    blank = cells.with_columns(cell_type_ontology_term_id=pl.lit("unknown"))
    np.testing.assert_array_equal(choose(50, cells=blank).rows, choose(50, cells=cells).rows)
    labels = cells.select("cell_type")
    np.testing.assert_array_equal(choose(50, cells=labels).rows, choose(50, cells=cells).rows)


@settings(deadline=None, max_examples=40)
@given(
    st.sets(st.sampled_from(["T", "CD4", "B", "gut", "monocyte"]), min_size=1),
    st.floats(0.1, 1),
    st.floats(0, 0.9),
    st.booleans(),
    st.integers(0, 99),
)
def test_choices_nest_and_are_exact(
    wanted: set[str], decay: float, negatives: float, with_descendants: bool, seed: int
) -> None:
    given: dict[str, Any] = {
        "wanted": sorted(wanted),
        "decay": decay,
        "negatives": negatives,
        "with_descendants": with_descendants,
        "seed": seed,
    }
    ladder = [choose(n, **given).rows for n in (1, 2, 17, 18, 160, 161, 400, N)]
    assert [len(rows) for rows in ladder] == [1, 2, 17, 18, 160, 161, 400, N]
    assert all(set(smaller) < set(larger) for smaller, larger in pairwise(ladder))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"wanted": ()}, "no cell type is wanted"),
        ({"terms": None}, "no cell type is wanted"),
        (
            {"wanted": ("Tregg",)},
            "no term of the Cell Ontology .2026-01-01.; the nearest are 'Treg Treg cell'",
        ),
        (
            {"cells": corpus({"B": 5, "monocyte": 9, "gut": 4})},
            r"no cell is a T cell, nor of a kind of it; .*B cell \(5 cells\), monocyte cell \(9 cells\)",
        ),
        ({"cells": pl.DataFrame({"tissue": ["lung"] * 50})}, "the cells have neither"),
    ],
    ids=["none wanted", "no ontology", "no such term", "all absent", "no column"],
)
def test_what_cannot_be_chosen_by_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        choose(10, **changed)


def test_in_the_cell_ontology_siblings_of_monocytes_are_phagocytes_of_other_kinds() -> None:
    terms = Ontology.load()
    ids = {
        label: terms.id_of(label) or ""
        for label in ("classical monocyte", "alveolar macrophage", "naive B cell", "mononuclear phagocyte")
    }
    found = find_kin(ids.values(), [terms.id_of("monocyte") or ""], terms, with_descendants=True)
    assert found[ids["classical monocyte"]] == Kin(Ring.WANTED, 1)
    assert found[ids["alveolar macrophage"]].ring == Ring.SIBLING
    assert found[ids["naive B cell"]].ring == Ring.FARTHER
    assert found[ids["mononuclear phagocyte"]].ring == Ring.FARTHER

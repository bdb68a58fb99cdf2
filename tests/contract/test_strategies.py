"""What every strategy promises, whatever it chooses by."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.build.strategies import STRATEGIES
from curate.build.task.target import TaskTarget
from curate.errors import SelectionError
from curate.ontology import Ontology, OntologyRecord, Term

if TYPE_CHECKING:
    from curate.build.selection import Selection

N_CELLS = 240
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
nested_ones = pytest.mark.parametrize("name", [name for name, s in STRATEGIES.items() if s.nested])


KINDS = ("CL:0000084", "CL:0000624", "CL:0000236", "CL:0000576", "CL:0000057", "unknown")


def a_task() -> TaskTarget:
    """A task that wants T cells; its reference lies around the cells of the first two kinds."""
    rng = np.random.default_rng(11)
    parents = {
        "CL:0000000": [],
        "CL:0000542": ["CL:0000000"],
        "CL:0000084": ["CL:0000542", "CL:0000000"],
        "CL:0000624": ["CL:0000084", "CL:0000542", "CL:0000000"],
        "CL:0000236": ["CL:0000542", "CL:0000000"],
        "CL:0000576": ["CL:0000000"],
        "CL:0000057": ["CL:0000000"],
    }
    terms = {each: Term(label=each, ancestors=frozenset(above)) for each, above in parents.items()}
    record = OntologyRecord(source="small", release="2026-01-01", edges="is_a")
    reference = rng.normal(size=(40, 4)) + 3 * rng.integers(0, 2, (40, 1))
    return TaskTarget(
        name="T cells",
        wanted=("CL:0000084",),
        with_descendants=True,
        ontology=Ontology(record, terms, {}),
        reference=reference.astype(np.float32),
    )


def a_corpus(n_cells: int = N_CELLS) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    kind = np.minimum(rng.geometric(0.35, n_cells) - 1, 5)
    return {
        "cells": pl.DataFrame(
            {
                "soma_joinid": 40 * np.arange(n_cells) + rng.integers(0, 40, n_cells),
                "dataset_id": pl.Series(
                    [f"dataset {row // 90}" for row in range(n_cells)], dtype=pl.Categorical
                ),
                "cell_type": pl.Series([f"type {k}" for k in kind], dtype=pl.Categorical),
                "cell_type_ontology_term_id": pl.Series([KINDS[k] for k in kind], dtype=pl.Categorical),
                "raw_sum": rng.geometric(0.02, n_cells),
            }
        ),
        "embedding": (rng.normal(size=(n_cells, 4)) + 3 * kind[:, None]).astype(np.float32),
        "keys": rng.integers(0, 2**64, n_cells, dtype=np.uint64),
    }


def choose(name: str, n: int, *, seed: int = 0, **changed: Any) -> Selection:
    corpus = a_corpus() | changed
    strategy, parameters = STRATEGIES[name], STRATEGIES[name].resolve({})
    strategy = strategy.settled(parameters)
    return strategy.select(
        corpus["cells"].select(strategy.columns(parameters)),
        corpus["embedding"] if strategy.needs_embedding else None,
        n,
        keys=corpus["keys"],
        rng=np.random.default_rng(seed),
        **parameters,
        **(strategy.from_task(a_task()) if strategy.from_task else {}),
    )


@every_strategy
@pytest.mark.parametrize("n", [1, 2, 24, 239, 240])
def test_exactly_n_distinct_rows_in_ascending_order(name: str, n: int) -> None:
    rows = choose(name, n).rows
    assert rows.dtype == np.int64
    assert rows.shape == (n,)
    assert (np.diff(rows) > 0).all()
    assert rows[0] >= 0
    assert rows[-1] < N_CELLS


@every_strategy
def test_the_same_seed_gives_the_same_rows(name: str) -> None:
    np.testing.assert_array_equal(choose(name, 30).rows, choose(name, 30).rows)


@pytest.mark.parametrize("name", [name for name, s in STRATEGIES.items() if s.is_drawn])
def test_other_keys_and_another_seed_give_other_rows(name: str) -> None:
    keys = np.random.default_rng(8).integers(0, 2**64, N_CELLS, dtype=np.uint64)
    assert not np.array_equal(choose(name, 30).rows, choose(name, 30, seed=1, keys=keys).rows)


@every_strategy
@pytest.mark.parametrize(("n", "message"), [(0, "0 cells asked for"), (-3, "-3 cells"), (241, "only 240")])
def test_a_number_of_cells_that_cannot_be_chosen_is_refused(name: str, n: int, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        choose(name, n)


@every_strategy
def test_an_empty_corpus_is_refused(name: str) -> None:
    with pytest.raises(SelectionError, match="only 0 to choose from"):
        choose(name, 1, **a_corpus(0))


@every_strategy
def test_what_it_was_given_is_left_as_it_was(name: str) -> None:
    corpus, untouched = a_corpus(), a_corpus()
    choose(name, 30, **corpus)
    assert corpus["cells"].equals(untouched["cells"])
    np.testing.assert_array_equal(corpus["embedding"], untouched["embedding"])
    np.testing.assert_array_equal(corpus["keys"], untouched["keys"])


@every_strategy
def test_it_works_on_arrays_that_may_not_be_written(name: str) -> None:
    corpus = a_corpus()
    for array in (corpus["embedding"], corpus["keys"]):
        array.flags.writeable = False
    np.testing.assert_array_equal(choose(name, 30, **corpus).rows, choose(name, 30).rows)


@every_strategy
def test_numpys_global_random_state_is_left_alone(name: str) -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    choose(name, 30)
    np.testing.assert_equal(np.random.get_state(legacy=False), before)  # noqa: NPY002


@pytest.mark.parametrize("name", [name for name, s in STRATEGIES.items() if not s.is_drawn])
def test_where_nothing_is_drawn_other_keys_and_another_seed_but_break_ties(name: str) -> None:
    keys = np.random.default_rng(8).integers(0, 2**64, N_CELLS, dtype=np.uint64)
    untied = a_corpus()["cells"].with_columns(raw_sum=pl.Series(np.arange(N_CELLS)))
    tied = untied.with_columns(raw_sum=pl.lit(1))
    for cells, is_same in ((untied, True), (tied, False)):
        first, other = choose(name, 30, cells=cells), choose(name, 30, seed=1, keys=keys, cells=cells)
        assert np.array_equal(first.rows, other.rows) == is_same


@nested_ones
def test_a_smaller_choice_lies_inside_a_larger_one(name: str) -> None:
    ladder = [set(choose(name, n).rows.tolist()) for n in (2, 7, 24, 25, 60, 120, 239)]
    assert all(smaller < larger for smaller, larger in pairwise(ladder))


@settings(deadline=None, max_examples=30)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
@nested_ones
def test_any_two_sizes_nest(name: str, data: st.DataObject, seed: int) -> None:
    smaller = data.draw(st.integers(1, N_CELLS - 1))
    larger = data.draw(st.integers(smaller + 1, N_CELLS))
    keys = np.random.default_rng(seed).integers(0, 2**64, N_CELLS, dtype=np.uint64)
    rows = [set(choose(name, n, seed=seed, keys=keys).rows.tolist()) for n in (smaller, larger)]
    assert rows[0] < rows[1]


@every_strategy
def test_a_parameter_it_does_not_have_is_refused_with_those_it_has(name: str) -> None:
    with pytest.raises(SelectionError, match=f"{name} has no parameter 'colour'; it has: "):
        STRATEGIES[name].resolve({"colour": "red"})


@every_strategy
def test_defaults_resolve_to_themselves_and_to_json(name: str) -> None:
    resolved = STRATEGIES[name].resolve({})
    assert STRATEGIES[name].resolve(resolved) == resolved
    assert STRATEGIES[name].resolve(json.loads(json.dumps(resolved))) == resolved


@every_strategy
def test_every_strategy_and_parameter_says_what_it_is(name: str) -> None:
    strategy = STRATEGIES[name]
    assert strategy.summary.endswith(".")
    assert strategy.reference
    assert all(parameter.help and parameter.metavar for parameter in strategy.parameters)

"""Shards whose labels a test chooses, and a small ontology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import polars as pl
import pytest

from curate.ontology import Ontology, OntologyRecord, Term
from curate.train.shards import Shards

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Labels = Callable[[int], Any]


class Relabel(Protocol):
    """Returns the shards with columns of obs made anew, each by the row of the cell."""

    def __call__(self, **columns: Labels) -> Shards: ...


@pytest.fixture
def relabel(shards: Shards, tmp_path: Path) -> Relabel:
    def relabelled(**columns: Labels) -> Shards:
        for path in shards.path.iterdir():
            if path.name != "obs.parquet" and not (tmp_path / path.name).exists():
                (tmp_path / path.name).symlink_to(path)
        obs = shards.obs()
        made = [pl.Series(name, [label(row) for row in range(len(obs))]) for name, label in columns.items()]
        obs.with_columns(made).write_parquet(tmp_path / "obs.parquet")
        return Shards(tmp_path, shards.header)

    return relabelled


@pytest.fixture(scope="session")
def ontology() -> Ontology:
    """Cells are blood or bone; blood B or T; T is T4, T8 or memory, M4 both T4 and memory; R8 is now T8."""
    parents = {
        "blood": ["cell"],
        "bone": ["cell"],
        "B": ["blood"],
        "T": ["blood"],
        "T4": ["T"],
        "T8": ["T"],
        "memory": ["T"],
        "M4": ["T4", "memory"],
        "cell": [],
    }

    def above(name: str) -> set[str]:
        return {each for parent in parents[name] for each in {parent, *above(parent)}}

    terms = {
        f"X:{name}": Term(name, ancestors=frozenset(f"X:{each}" for each in above(name))) for name in parents
    }
    terms["X:R8"] = Term("R8", obsolete=True, replaced_by="X:T8")
    return Ontology(OntologyRecord(source="made", release="2026-01-01", edges="is_a"), terms, {})

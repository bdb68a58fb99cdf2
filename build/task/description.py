"""Which cells of a corpus a task describes: by type, tissue, disease and assay."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.build.strategies.strata import stratify
from curate.build.task.terms import find_type
from curate.errors import TaskError
from curate.where import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.ontology import Ontology
    from curate.task import Wanted

TYPE, TERM = "cell_type", "cell_type_ontology_term_id"
#: Columns of the corpus that hold what a task may ask for.
COLUMNS = {"tissue": ("tissue", "tissue_general"), "disease": ("disease",), "assay": ("assay",)}


@dataclass(frozen=True)
class WantedType:
    """A type that a task wants: cells of the corpus of this very type, and of kinds of it."""

    term_id: str
    label: str
    n_exact: int
    n_by_descent: int


@dataclass(frozen=True)
class WantedValue:
    """A tissue, disease or assay that a task wants, and the cells of the corpus that have it."""

    column: str
    value: str
    n_cells: int


@dataclass(frozen=True)
class Matches:
    """The cells of a corpus that a task describes, bool [n_cells] each.

    Attributes
    ----------
    exact, by_descent
        Of a wanted type; of a kind of one and not of a wanted type itself.
    of_type
        Those that count: the first, and the second where descendants do; all where no type is named.
    every
        Those of a wanted type, tissue, disease and assay.
    """

    exact: NDArray[np.bool_]
    by_descent: NDArray[np.bool_]
    of_type: NDArray[np.bool_]
    every: NDArray[np.bool_]
    types: tuple[WantedType, ...]
    values: tuple[WantedValue, ...]

    @cached_property
    def n_cells(self) -> int:
        """Cells that match in everything."""
        return int(self.every.sum())

    def absent(self, *, with_descendants: bool) -> tuple[WantedType, ...]:
        """Return the wanted types that no cell of the corpus has."""
        return tuple(
            each for each in self.types if not each.n_exact and not (with_descendants and each.n_by_descent)
        )


def match(corpus: Corpus, terms: Sequence[str], wanted: Wanted, ontology: Ontology) -> Matches:
    """Find the cells of a corpus that a task describes.

    A cell's type is told by its term, else by its label; a value that holds several ("A || B") has each.

    Parameters
    ----------
    terms
        Ids of the wanted types.

    Returns
    -------
    Matches
        Memory: a handful of bytes a cell.

    Raises
    ------
    TaskError
        When the corpus lacks a column that the task asks about.
    """
    exact, by_descent, types = _match_types(corpus, terms, ontology)
    of_type = np.ones(corpus.n_cells, np.bool_)
    if terms:
        of_type = exact | by_descent if wanted.descendants else exact
    every, values = of_type.copy(), []
    for name, asked in wanted.columns.items():
        if asked:
            mask, found = _match_values(corpus, name, asked)
            every &= mask
            values += found
    return Matches(exact, by_descent, of_type, every, types, tuple(values))


def _match_types(
    corpus: Corpus, terms: Sequence[str], ontology: Ontology
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[WantedType, ...]]:
    nothing = np.zeros(corpus.n_cells, np.bool_)
    if not terms:
        return nothing, nothing.copy(), ()
    if TYPE not in corpus.header.columns:
        raise TaskError(f"corpus {corpus.name} has no column {TYPE!r}; its types are not known")
    columns = [name for name in (TYPE, TERM) if name in corpus.header.columns]
    codes, n_cells, values = _distinct(corpus, columns)
    labels = values[TYPE].to_list()
    ids = values[TERM].to_list() if TERM in columns else [None] * len(labels)
    found = [find_type(term_id, label, ontology) for term_id, label in zip(ids, labels, strict=True)]
    lineage = [frozenset() if term is None else ontology.ancestors(term) for term in found]
    wanted = frozenset(terms)
    is_exact = np.array([term in wanted for term in found], np.bool_)
    is_kind = np.array([bool(above & wanted) for above in lineage], np.bool_) & ~is_exact
    types = tuple(
        WantedType(
            term_id=term,
            label=ontology.label(term),
            n_exact=int(n_cells[[each == term for each in found]].sum()),
            n_by_descent=int(n_cells[[term in each for each in lineage]].sum()),
        )
        for term in terms
    )
    return is_exact[codes], is_kind[codes], types


def _match_values(
    corpus: Corpus, name: str, asked: Sequence[str]
) -> tuple[NDArray[np.bool_], list[WantedValue]]:
    columns = [column for column in COLUMNS[name] if column in corpus.header.columns]
    if not columns:
        raise TaskError(f"corpus {corpus.name} has no column {name!r}, which the task asks about")
    masks = {value: np.zeros(corpus.n_cells, np.bool_) for value in asked}
    for column in columns:
        codes, _, values = _distinct(corpus, [column])
        parts = [_parts(each) for each in values[column].to_list()]
        for value, mask in masks.items():
            mask |= np.array([value.casefold() in each for each in parts], np.bool_)[codes]
    any_of = np.zeros(corpus.n_cells, np.bool_)
    for mask in masks.values():
        any_of |= mask
    return any_of, [WantedValue(name, value, int(mask.sum())) for value, mask in masks.items()]


def _distinct(
    corpus: Corpus, columns: Sequence[str]
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64], pl.DataFrame]:
    """Return a code for each cell, the cells of each code, and the values that it stands for, as text."""
    cells = corpus.columns(columns)
    strata = stratify(cells, columns)
    example = np.zeros(strata.n, np.int64)
    example[strata.codes] = np.arange(corpus.n_cells)
    return strata.codes, strata.counts, cells[example].with_columns(pl.all().cast(pl.String))


def _parts(category: str | None) -> list[str]:
    folded = (category or "").casefold()
    return [folded, *folded.split(SEPARATOR)]

"""Choice for a task by type: the wanted types, and what is near them in the Cell Ontology."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.codes import count_codes
from curate.build.selection import Parameter, Selection, Strategy, check_n
from curate.build.strategies.depth import sainte_lague
from curate.build.strategies.keys import smallest_keys
from curate.build.strategies.ontology_kin import Kin, Ring, absent_types, find_kin
from curate.build.strategies.ontology_notes import describe
from curate.build.strategies.settings import between
from curate.build.strategies.strata import stratify
from curate.errors import SelectionError
from curate.nearest import nearest_few

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

    from curate.build.task.target import TaskTarget
    from curate.ontology import Ontology

TERM, LABEL = "cell_type_ontology_term_id", "cell_type"
_N_NAMED = 3
_BLOCK = 1 << 16


def ontology(
    cells: pl.DataFrame,
    embedding: NDArray[np.float32] | None,
    n: int,
    *,
    keys: NDArray[np.uint64],
    rng: np.random.Generator,
    wanted: Sequence[str] = (),
    terms: Ontology | None = None,
    with_descendants: bool = True,
    decay: float = 0.5,
    negatives: float = 0.2,
) -> Selection:
    """Choose `n` cells by how near their type is to the wanted ones in the Cell Ontology.

    The share `negatives` goes to siblings (hard negatives), the rest to the wanted types and, with
    descendants, their kinds. Inside either, a type's quota falls by the factor `decay` for each step away
    from the nearest wanted type; a type that has fewer cells gives all, and leaves the rest to the others
    alike. What the siblings cannot fill goes on to farther types by the same rule and back to the wanted ones
    when these are used up, what the wanted types cannot fill to the siblings and on. Cells without a type
    come last: they may be anything. Within a type the smallest keys are chosen. With the same keys and an
    `rng` in the same state, a choice of fewer cells lies inside this one.

    Parameters
    ----------
    cells
        Columns cell_type_ontology_term_id and cell_type, which tells where the term says nothing.
    wanted
        Ids of the Cell Ontology.
    with_descendants
        Whether a kind of a wanted type is wanted too. If not, it is a farther type: neither wanted nor a
        negative.
    decay
        In (0, 1]; 1 gives every type the same quota.
    negatives
        In [0, 1).

    Raises
    ------
    SelectionError
        When `n` is 0 or more than there are cells, no type is wanted, one is no term, or none has a cell.

    Notes
    -----
    Memory: 8 bytes a cell.
    """
    del embedding
    check_n(n, keys.size)
    if terms is None or not wanted:
        raise SelectionError(
            "no cell type is wanted; give a task that names some, or choose by its reference with the "
            "strategy target"
        )
    unknown = [each for each in wanted if each not in terms]
    if unknown:
        raise SelectionError(_unknown(unknown[0], terms))
    types, of_cell, counts = _types(cells, terms)
    known = [each for each in types if each is not None]
    kin_of = find_kin(known, wanted, terms, with_descendants=with_descendants)
    kin = [Kin(Ring.UNTYPED, 0) if each is None else kin_of[each] for each in types]
    if not any(each.ring == Ring.WANTED for each in kin):
        raise SelectionError(_all_absent(wanted, known, counts, terms, with_descendants=with_descendants))
    weights = np.array([decay**each.steps for each in kin])
    rings = np.array([each.ring for each in kin])
    n_negatives = int(Fraction(negatives) * n + Fraction(1, 2))
    sizes = _ring_sizes(_count_by(rings, counts), n, n_negatives)
    quotas = np.zeros_like(counts)
    for ring in Ring:
        own = rings == ring
        quotas[own] = sainte_lague(counts[own], sizes[ring], rng=rng, weights=weights[own])
    rows = smallest_keys(keys, quotas, codes=of_cell)
    absent = absent_types(wanted, known, terms, with_descendants=with_descendants)
    notes = describe(
        ["cells without a type" if each is None else terms.label(each) for each in types],
        kin,
        counts,
        quotas,
        weights,
        wished=(n - n_negatives, n_negatives),
        absent=[terms.label(each) for each in absent],
    )
    return Selection(rows, notes=notes)


def _count_by(rings: NDArray[np.int64], counts: NDArray[np.int64]) -> list[int]:
    """Return the cells of each ring."""
    return [int(counts[rings == ring].sum()) for ring in Ring]


def _ring_sizes(there: Sequence[int], n: int, n_negatives: int) -> list[int]:
    """Return how many cells each ring gives, none more than it has; none falls as `n` grows."""
    wanted, siblings, farther, _ = there
    others = min(siblings + farther, n - min(wanted, n - n_negatives))
    n_siblings = min(siblings, others)
    n_wanted = min(wanted, n - others)
    return [n_wanted, n_siblings, others - n_siblings, n - others - n_wanted]


def _types(
    cells: pl.DataFrame, terms: Ontology
) -> tuple[list[str | None], NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """Return the types that occur (last None, for cells without one), that of each cell, and counts."""
    columns = [each for each in (TERM, LABEL) if each in cells.columns]
    if not columns:
        raise SelectionError(f"ontology reads {TERM} or {LABEL}, and the cells have neither")
    strata = stratify(cells, columns)
    # Some cell of each stratum, to say what its values are.
    one = np.zeros(strata.n, dtype=np.int64)
    for start in range(0, strata.codes.size, _BLOCK):
        block = strata.codes[start : start + _BLOCK]
        one[block] = np.arange(start, start + block.size)
    found = [_type(row, terms) for row in cells.select(columns)[one.tolist()].iter_rows()]
    types: list[str | None] = [*sorted({each for each in found if each is not None})]
    if None in found:
        types.append(None)
    place = {each: number for number, each in enumerate(types)}
    dtype = np.uint16 if len(types) <= np.iinfo(np.uint16).max else np.uint32
    of_cell = np.array([place[each] for each in found], dtype=dtype)[strata.codes]
    return types, of_cell, count_codes(of_cell, len(types))


def _type(values: tuple[str | None, ...], terms: Ontology) -> str | None:
    for text in values:
        if text is not None and (found := terms.id_of(text) or terms.replacement(text)) is not None:
            return found
    return None


def _unknown(term_id: str, terms: Ontology) -> str:
    known = [f"{each} {terms.label(each)}" for each in terms.terms if each in terms]
    return f"{term_id!r} is no term of the Cell Ontology ({terms.release}); {nearest_few(term_id, known)}"


def _all_absent(
    wanted: Sequence[str],
    known: Sequence[str],
    counts: NDArray[np.int64],
    terms: Ontology,
    *,
    with_descendants: bool,
) -> str:
    kin = find_kin(known, wanted, terms, with_descendants=True)
    cells_of = dict(zip(known, counts.tolist(), strict=False))
    near = sorted(known, key=lambda each: (kin[each].ring, kin[each].steps, each))[:_N_NAMED]
    named = ", ".join(f"{terms.label(each)} ({cells_of[each]:,} cells)" for each in near) or "none has a type"
    labels = ", ".join(terms.label(each) for each in wanted[:_N_NAMED])
    more = f" and {len(wanted) - _N_NAMED} more" if len(wanted) > _N_NAMED else ""
    kinds = ", nor of a kind of it" if with_descendants else ""
    return f"no cell is a {labels}{more}{kinds}; the nearest types that have cells: {named}"


def from_task(task: TaskTarget) -> dict[str, Any]:
    """Return what is taken from a task: the wanted types."""
    return {"wanted": task.wanted, "terms": task.ontology, "with_descendants": task.with_descendants}


ONTOLOGY = Strategy(
    select=ontology,
    summary="The types that a task wants, and their neighbours in the Cell Ontology.",
    reference="the Cell Ontology (Diehl et al. 2016, doi 10.1186/s13326-016-0088-7); Sainte-Laguë allocation",
    parameters=(
        Parameter(
            name="decay",
            default=0.5,
            parse=between("decay", 0, 1, with_high=True),
            metavar="FACTOR",
            help="By which a type's quota falls for each step away from a wanted type.",
        ),
        Parameter(
            name="negatives",
            default=0.2,
            parse=between("negatives", 0, 1, with_low=True),
            metavar="SHARE",
            help="Share of the cells that goes to siblings of the wanted types.",
        ),
    ),
    reads=(TERM, LABEL),
    nested=True,
    growth="N",
    from_task=from_task,
)

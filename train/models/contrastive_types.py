"""Which types are alike for the contrastive model, by the Cell Ontology and at the level of a task.

1. each value of the type column is looked up; an obsolete term counts as what replaced it;
2. for a task, a kind of a wanted type counts as that wanted type;
3. which terms are kinds of which is written down: such a pair is neither alike nor different;
4. training cells without anything to learn from are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.build.strategies.ontology_kin import absent_types
from curate.build.task.terms import find_term
from curate.errors import ModelError
from curate.ontology import Ontology, OntologyRecord
from curate.train.models.model import Facts
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from curate.build.task.target import TaskTarget
    from curate.train.shards.shards import Shards

TYPE = "cell_type_ontology_term_id"
NAME = "contrastive"


class TypeFacts(Facts):
    """The types of cells, and how they are related.

    Attributes
    ----------
    types
        Values of the type column over all splits, ascending: as the loader numbers them.
    terms
        The term of the Cell Ontology that each counts as; None takes no part in the contrastive loss.
    kin
        Of these terms, every ancestor with its descendant.
    wanted
        Of these terms, those that a task wants; none without a task.
    task
        Its name.
    """

    types: tuple[str, ...]
    terms: tuple[str | None, ...]
    kin: tuple[tuple[str, str], ...]
    ontology: OntologyRecord
    wanted: tuple[str, ...] = ()
    task: str | None = None


def learn_types(shards: Shards, *, across: str | None, task: TaskTarget | None) -> TypeFacts:
    """Look up the types of the cells, and see that the training cells have pairs to learn from.

    The ontology is the task's, else the bundled one in its latest release. Its release is in the facts.

    Parameters
    ----------
    across
        The obs column in which the two cells of a positive pair differ; any two cells of a type when None.

    Raises
    ------
    ModelError
        When no two training cells are alike and differ from a third, or the task wants none of their types.
    """
    ontology = Ontology.load() if task is None else task.ontology
    texts = shards.obs([TYPE])[TYPE].cast(pl.String).drop_nulls().unique().sort().to_list()
    found = {text: find_term(text, ontology) for text in texts}
    if task is not None:
        found = {text: None if term is None else _at_level(term, task) for text, term in found.items()}
    terms = sorted({term for term in found.values() if term is not None})
    kin = [(above, below) for below in terms for above in terms if above in ontology.ancestors(below)]
    facts = TypeFacts(
        types=tuple(texts),
        terms=tuple(found.values()),
        kin=tuple(kin),
        ontology=ontology.record,
        wanted=() if task is None else tuple(term for term in terms if _is_wanted(term, task)),
        task=None if task is None else task.name,
    )
    _check(_cells_of_terms(shards, facts, across), facts, ontology, across=across, task=task)
    return facts


def alike_and_different(facts: TypeFacts) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which types are alike and which differ, bool [n_types + 1, n_types + 1] each.

    Row and column -1 are of cells without a type: all False, like those of a type that takes no part. So is,
    in both, a type and one that it is a kind of.
    """
    terms = [*facts.terms, None]
    order = {term: i for i, term in enumerate(sorted({term for term in terms if term is not None}))}
    number = np.array([-1 if term is None else order[term] for term in terms])
    is_kin = np.zeros((len(order) + 1, len(order) + 1), np.bool_)
    for above, below in facts.kin:
        is_kin[order[above], order[below]] = is_kin[order[below], order[above]] = True
    takes_part = (number[:, None] >= 0) & (number >= 0)
    is_same = number[:, None] == number
    return takes_part & is_same, takes_part & ~is_same & ~is_kin[number[:, None], number]


def _at_level(term: str, task: TaskTarget) -> str:
    """Return the lowest wanted type that a term is a kind of; the term where there are several or none."""
    if term in task.wanted or not task.with_descendants:
        return term
    above = task.ontology.ancestors(term).intersection(task.wanted)
    lowest = above.difference(*(task.ontology.ancestors(each) for each in above))
    return next(iter(lowest)) if len(lowest) == 1 else term


def _is_wanted(term: str, task: TaskTarget) -> bool:
    is_kind = task.with_descendants and not task.ontology.ancestors(term).isdisjoint(task.wanted)
    return term in task.wanted or is_kind


def _cells_of_terms(shards: Shards, facts: TypeFacts, across: str | None) -> Mapping[str, list[int]]:
    """Return the training cells of each term, by the values of `across`."""
    columns = [TYPE] if across is None else list(dict.fromkeys((TYPE, across)))
    named = shards.obs(columns, split="train").with_columns(pl.col(TYPE).cast(pl.String).alias("type"))
    counts = named.group_by(["type"] if across is None else ["type", across]).len()
    term_of = dict(zip(facts.types, facts.terms, strict=True))
    found: dict[str, dict[object, int]] = {}
    for text, *value, n in counts.iter_rows():
        term = term_of.get(text)
        if term is not None:
            held = found.setdefault(term, {})
            held[tuple(value)] = held.get(tuple(value), 0) + n
    return {term: list(held.values()) for term, held in found.items()}


def _check(
    cells: Mapping[str, list[int]],
    facts: TypeFacts,
    ontology: Ontology,
    *,
    across: str | None,
    task: TaskTarget | None,
) -> None:
    n_typed = sum(sum(counts) for counts in cells.values())
    if not cells:
        raise ModelError(
            f"no training cell has a type in {TYPE} that the Cell Ontology ({ontology.release}) knows; model "
            f"{NAME} learns from types, train another"
        )
    if task is not None:
        _check_task(cells, task)
    level = "" if task is None else f" at the level of task {task.name}"
    if len(cells) == 1:
        raise ModelError(
            f"all {n_typed:,} training cells with a type are of one type{level}: "
            f"{ontology.label(next(iter(cells)))}; model {NAME} tells types apart, build a manifest of more"
        )
    kin = set(facts.kin)
    pairs = [(a, b) for a in cells for b in cells if a < b]
    different = [pair for pair in pairs if pair not in kin and pair[::-1] not in kin]
    if not different:
        above, below = next((a, b) for a, b in facts.kin if a in cells and b in cells)
        raise ModelError(
            f"of the {len(cells)} types of the training cells{level} each two are related in the Cell "
            f"Ontology, such as {ontology.label(below)}, a kind of {ontology.label(above)}: no cell is a "
            "negative of another; build a manifest of more types"
        )
    paired = {term for term, counts in cells.items() if _has_positives(counts, across)}
    if not paired:
        where = "more than one cell" if across is None else f"cells in two values of {across}"
        remedy = "" if across is None else ", or set across=none, so that positives may share it"
        raise ModelError(
            f"none of the {len(cells)} types of the training cells{level} has {where}: there are no "
            f"positives; build a manifest of more cells{remedy}"
        )
    if paired.isdisjoint(term for pair in different for term in pair):
        raise ModelError(
            f"none of the {len(cells)} types of the training cells{level} has both positives ({len(paired)} "
            f"have) and negatives; build a manifest of more types"
        )


def _check_task(cells: Iterable[str], task: TaskTarget) -> None:
    if not task.wanted:
        raise ModelError(
            f"task {task.name} names no cell types; give it wanted.cell_types, or leave --task out"
        )
    absent = absent_types(task.wanted, cells, task.ontology, with_descendants=task.with_descendants)
    if len(absent) == len(task.wanted):
        named = ", ".join(task.ontology.label(term) for term in task.wanted[:3])
        raise ModelError(
            f"no training cell is of any of the {counted(len(task.wanted), 'type')} that task {task.name} "
            f"wants ({named}{', …' if len(task.wanted) > 3 else ''}); build a manifest for the task"
        )


def _has_positives(counts: list[int], across: str | None) -> bool:
    return sum(counts) > 1 if across is None else len(counts) > 1

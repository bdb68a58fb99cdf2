"""The rules on cell types: which types a recipe keeps, and what each rule drops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from curate.corpus.document import DroppedCells
from curate.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from curate.ontology import Ontology
    from curate.recipe import CellTypeRules

TALLIED = ("cell_type", "cell_type_ontology_term_id", "dataset_id", "donor_id")


@dataclass(frozen=True)
class TypeOutcome:
    """The cell types kept (None: all), what each rule dropped, in order, and what is worth knowing."""

    kept: frozenset[str] | None
    dropped: tuple[DroppedCells, ...]
    notes: tuple[str, ...]


def apply_type_rules(tally: pl.DataFrame, rules: CellTypeRules, ontology: Ontology | None) -> TypeOutcome:
    """Decide about cell types.

    Parameters
    ----------
    tally
        One row for each combination of TALLIED among the cells that passed the rules on cells, and `n_cells`.
        A tech sample is a (dataset_id, donor_id).
    ontology
        Where a rule needs one. A type is looked up by its term, else by its label; an obsolete term by its
        replacement, with a note. A type without a term is no kind of anything: it has no ancestors.

    Raises
    ------
    RecipeError
        When `descendants_of` names no term, or one without kinds.
    """
    types = (
        tally.group_by("cell_type", "dataset_id", "donor_id")
        .agg(pl.col("n_cells").sum())
        .group_by("cell_type")
        .agg(pl.col("n_cells").sum(), pl.len().alias("n_tech_samples"))
        .with_columns(pl.col("cell_type").cast(pl.String))
        .sort("n_cells", "cell_type", descending=[True, False])
    )
    notes: list[str] = []
    matching: dict[str, tuple[str, list[bool]]] = {}
    if ontology is not None:
        terms, term_notes = _terms(tally, types, ontology)
        notes += term_notes
        if rules.descendants_of is not None:
            kinds, root_notes = kinds_of(rules.descendants_of, ontology)
            notes += root_notes
            matching["descendants_of"] = rules.descendants_of, [term not in kinds for term in terms]
    if rules.min_cells is not None:
        matching["min_cells"] = f"{rules.min_cells:,}", (types["n_cells"] < rules.min_cells).to_list()
    if rules.min_tech_samples is not None:
        few = types["n_tech_samples"] < rules.min_tech_samples
        matching["min_tech_samples"] = f"{rules.min_tech_samples:,}", few.to_list()
    if rules.min_ancestors is not None and ontology is not None:
        n_ancestors = [len(ontology.ancestors(term)) if term else 0 for term in terms]
        matching["min_ancestors"] = f"{rules.min_ancestors:,}", [n < rules.min_ancestors for n in n_ancestors]

    alive = pl.Series([True] * types.height, dtype=pl.Boolean)
    dropped = []
    for rule, (setting, flags) in matching.items():
        matches = pl.Series(flags, dtype=pl.Boolean)
        here = types.filter(alive & matches)
        dropped.append(
            DroppedCells(
                rule=rule,
                setting=setting,
                n_cells=here["n_cells"].sum(),
                n_matching=types.filter(matches)["n_cells"].sum(),
                values=dict(here.select("cell_type", "n_cells").iter_rows()),
            )
        )
        alive = alive & ~matches
    return TypeOutcome(frozenset(types.filter(alive)["cell_type"]), tuple(dropped), tuple(notes))


def kinds_of(name: str, ontology: Ontology) -> tuple[frozenset[str], list[str]]:
    """Return the terms that are kinds of the one named, itself excluded, and a note where it is obsolete.

    Raises
    ------
    RecipeError
        When `name` names no term, or one without kinds: no cell type would be kept.
    """
    record = ontology.record
    notes = []
    term = ontology.id_of(name)
    if term is None and (term := ontology.replacement(name)) is not None:
        notes.append(
            f"descendants_of: {name!r} is obsolete in {ontology.release}; "
            f"its replacement {ontology.label(term)!r} ({term}) was used"
        )
    if term is None:
        raise RecipeError(
            f"descendants_of = {name!r} names no term of the ontology ({record.source}, {record.release}); "
            "name a term in use, or another ontology with --ontology"
        )
    kinds = ontology.descendants(term)
    if not kinds:
        raise RecipeError(
            f"descendants_of = {name!r} has no kinds in the ontology ({record.source}, {record.release}), "
            "and does not count as one itself; name a broader term"
        )
    return kinds, notes


def _terms(
    tally: pl.DataFrame, types: pl.DataFrame, ontology: Ontology
) -> tuple[list[str | None], list[str]]:
    """Return the term of each type, and notes on those that are obsolete or have none."""
    ids = dict(
        tally.group_by("cell_type", "cell_type_ontology_term_id")
        .agg(pl.col("n_cells").sum())
        .with_columns(pl.col("cell_type", "cell_type_ontology_term_id").cast(pl.String))
        .sort("n_cells", "cell_type_ontology_term_id", descending=[True, False])
        .group_by("cell_type", maintain_order=True)
        .agg("cell_type_ontology_term_id")
        .iter_rows()
    )
    terms: list[str | None] = []
    obsolete: list[str] = []
    unknown: dict[str, int] = {}
    for label, n_cells in types.select("cell_type", "n_cells").iter_rows():
        names = [name for name in (*ids[label], label) if name]
        term = _first(ontology.id_of, names)
        if term is None and (successor := _first(ontology.replacement, names)):
            term = successor
            obsolete.append(f"{label!r} as {ontology.label(term)!r}")
        if term is None:
            unknown[label] = n_cells
        terms.append(term)
    notes = []
    if obsolete:
        notes.append(
            f"cell types obsolete in {ontology.release}, taken for what replaced them: {', '.join(obsolete)}"
        )
    if unknown:
        notes.append(
            f"cell types without a term in {ontology.release} ({sum(unknown.values()):,} cells): "
            + ", ".join(map(repr, unknown))
        )
    return terms, notes


def _first(lookup: Callable[[str], str | None], names: Iterable[str]) -> str | None:
    return next((found for name in names if (found := lookup(name))), None)

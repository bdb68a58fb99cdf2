"""Rules on quality as reasons to leave cells out of a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.build.composition import DONOR_COLUMNS
from curate.build.exclusions import Exclusion
from curate.build.strategies.strata import stratify
from curate.errors import SelectionError
from curate.nearest import nearest
from curate.quality import DONOR_RULE

if TYPE_CHECKING:
    from curate.build.exclusions import Drop, Mask
    from curate.corpus import Corpus
    from curate.quality import CellRule, QualityRules


def quality_exclusions(corpus: Corpus, rules: QualityRules) -> tuple[Exclusion, ...]:
    """Return the rules, in order, each a reason of its own; a column is read when its rule has its turn.

    Raises
    ------
    SelectionError
        When the corpus lacks a column that a rule reads.
    """
    for rule in rules.cell_rules:
        if rule.column not in corpus.header.columns:
            raise SelectionError(
                f"{rule.name} reads the column {rule.column!r}, which corpus {corpus.name} has not; "
                f"{nearest(rule.column, corpus.header.columns)}{_hint(rule)}"
            )
    exclusions = [
        Exclusion(rule.name, {"threshold": rule.threshold, "column": rule.column}, _failing(rule))
        for rule in rules.cell_rules
    ]
    if rules.min_cells_per_donor is not None:
        least = rules.min_cells_per_donor
        exclusions.append(Exclusion(DONOR_RULE, {"threshold": least}, _of_small_donors(least)))
    return tuple(exclusions)


def _hint(rule: CellRule) -> str:
    if rule.name == "max_mito":
        return "; name it with --mito-column, or give max_mito in the recipe, which computes it"
    return "; name it with --doublet-column" if rule.name == "max_doublet_score" else ""


def _failing(rule: CellRule) -> Drop:
    def drop(corpus: Corpus, kept: Mask) -> Mask:
        del kept
        values = corpus.columns([rule.column])[rule.column]
        if fault := rule.fault(values):
            raise SelectionError(fault)
        return rule.fails(values).to_numpy()

    return drop


def _of_small_donors(least: int) -> Drop:
    def drop(corpus: Corpus, kept: Mask) -> Mask:
        donors = stratify(corpus.columns(DONOR_COLUMNS), DONOR_COLUMNS)
        n_kept = np.bincount(donors.codes[kept], minlength=donors.n)
        few: Mask = (n_kept < least)[donors.codes]
        return few

    return drop

"""The way through the leakage guard.

1. the evaluation set is read;
2. its cells and donors are looked up by name in the index of the corpus;
3. their content is looked for in one pass over the counts;
4. what was found is reported, of the cells of a manifest, or left out of a build.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from curate.build.exclusions import Exclusion
from curate.build.leakage.identities import Same, possible_donors, same_donors, same_joinids
from curate.build.leakage.scan import METHOD_VERSION, Scan, scan
from curate.build.leakage.sources import open_evaluation
from curate.errors import LeakageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.leakage.evaluation import EvaluationSet
    from curate.census import Census
    from curate.corpus import Corpus

Method = Literal["joinid", "exact", "near", "donor", "possible-donor"]
METHODS: tuple[Method, ...] = get_args(Method)
CELL_METHODS: tuple[Method, ...] = ("joinid", "exact", "near")
"""Those that find the same cell; the others find the same donor."""

BY_OBS: dict[Method, Callable[[Corpus, EvaluationSet], Same]] = {
    "joinid": same_joinids,
    "donor": same_donors,
    "possible-donor": possible_donors,
}


@dataclass(frozen=True)
class Overlap:
    """What an evaluation set and cells of a corpus have in common.

    Attributes
    ----------
    compared
        bool [n_cells of the corpus], the cells that were asked about.
    same
        What each method found, on both sides; on that of the corpus among the cells compared.
    scan
        The pairs of like content; None when content was not asked for.
    """

    evaluation: EvaluationSet
    compared: NDArray[np.bool_]
    same: Mapping[Method, Same]
    scan: Scan | None

    def any_of(self, methods: Sequence[Method]) -> NDArray[np.bool_]:
        """Return which cells of the corpus some of the methods found, bool [n_cells]."""
        found = np.zeros(len(self.compared), np.bool_)
        for method in methods:
            if method in self.same:
                found |= self.same[method].corpus
        return found


def read_evaluation(
    corpus: Corpus,
    path: str | Path,
    *,
    census: Census,
    layer: str | None = None,
    gene_column: str | None = None,
) -> EvaluationSet:
    """Read an evaluation set to compare with a corpus; see `sources.open_evaluation`."""
    organism = corpus.header.organism
    var = census.read_var(organism)
    return open_evaluation(path, var=var, organism=organism, layer=layer, gene_column=gene_column)


def find_overlap(
    corpus: Corpus,
    evaluation: EvaluationSet,
    *,
    census: Census,
    compared: NDArray[np.bool_] | None = None,
    by: Sequence[Method] = METHODS,
) -> Overlap:
    """Find what an evaluation set has in common with cells of a corpus.

    Parameters
    ----------
    census
        The Census of the corpus, open.
    compared
        bool [n_cells], the cells to look at; all by default. Only their counts are read.
    by
        The methods, of METHODS. "exact" and "near" share one pass over the counts.

    Raises
    ------
    LeakageError
        When a method is unknown, or no dataset of these cells measured a gene that the evaluation set
        detects.
    """
    unknown = [each for each in by if each not in METHODS]
    if unknown:
        raise LeakageError(f"no method named {unknown[0]!r}; there are: {', '.join(METHODS)}")
    wanted = np.ones(corpus.n_cells, np.bool_) if compared is None else compared
    same: dict[Method, Same] = {
        method: _among(BY_OBS[method](corpus, evaluation), wanted) for method in by if method in BY_OBS
    }
    by_content: list[Method] = [method for method in ("exact", "near") if method in by]
    found = None
    if by_content:
        found = scan(corpus, evaluation, wanted, census)
        _refuse_strangers(evaluation, found)
        same |= {method: _same_content(method, found, evaluation, wanted) for method in by_content}
    return Overlap(evaluation, wanted, {method: same[method] for method in METHODS if method in same}, found)


def overlap_exclusions(
    corpus: Corpus,
    evaluation: EvaluationSet,
    *,
    census: Census,
    by: Sequence[Method] = CELL_METHODS,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Exclusion]:
    """Return exclusions of the cells that an evaluation set holds, one a method, for `build`.

    The counts are read when the first of them has its turn, those of the cells that are left by then. A
    method that cannot compare is left out.

    Parameters
    ----------
    tell
        Called with what could not be compared, and why.

    Raises
    ------
    LeakageError
        When none of the methods can compare.
    """
    found: list[Overlap] = []
    usable = [method for method in METHODS if method in by]
    for method in usable.copy():
        why_not = BY_OBS[method](corpus, evaluation).why_not if method in BY_OBS else None
        if why_not is not None:
            tell(f"{evaluation.name} was not compared by {method}: {why_not}")
            usable.remove(method)
    if not usable:
        raise LeakageError(
            f"{evaluation.name} can be compared by none of {', '.join(by)}: its obs lacks the columns; "
            "give it dataset_id, donor_id and observation_joinid, or compare by exact,near"
        )

    def drop(method: Method) -> Callable[[Corpus, NDArray[np.bool_]], NDArray[np.bool_]]:
        def dropped(corpus: Corpus, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
            # What later methods are asked about are fewer of the same cells.
            if not found:
                found.append(find_overlap(corpus, evaluation, census=census, compared=kept, by=usable))
                _tell_undecided(found[0], tell)
            return found[0].same[method].corpus

        return dropped

    version: dict[str, object] = {"method_version": METHOD_VERSION}
    return [
        Exclusion(
            reason="evaluation overlap",
            parameters={
                "by": method,
                "evaluation": evaluation.fingerprint,
                **(version if method in ("exact", "near") else {}),
            },
            drop=drop(method),
            label=f"overlap with {evaluation.name} by {method}",
        )
        for method in usable
    ]


def _tell_undecided(overlap: Overlap, tell: Callable[[str], None]) -> None:
    name, n_cells = overlap.evaluation.name, overlap.evaluation.n_cells
    if overlap.scan is not None and len(overlap.scan.few):
        tell(
            f"{len(overlap.scan.few):,} of {n_cells:,} cells of {name} detect too few shared genes to be "
            "decided by content: not found is not clean"
        )


def _among(same: Same, wanted: NDArray[np.bool_]) -> Same:
    return Same(same.corpus & wanted, same.evaluation, same.why_not)


def _same_content(method: Method, found: Scan, evaluation: EvaluationSet, wanted: NDArray[np.bool_]) -> Same:
    pairs = found.pairs.filter(f"is_{method}")
    of_corpus, of_evaluation = np.zeros(len(wanted), np.bool_), np.zeros(evaluation.n_cells, np.bool_)
    of_corpus[pairs["row"].to_numpy()] = True
    of_evaluation[pairs["cell"].to_numpy()] = True
    why_not = None
    if method == "exact" and not evaluation.is_count.any():
        why_not = "its values are no counts, and none could be restored from them"
    elif len(found.few) == evaluation.n_cells:
        why_not = "none of its cells detects enough shared genes to be decided"
    return Same(of_corpus & wanted, of_evaluation, why_not)


def _refuse_strangers(evaluation: EvaluationSet, found: Scan) -> None:
    most = max((each.n_genes for each in found.gene_sets), default=0)
    if most == 0:
        raise LeakageError(
            f"{evaluation.name}: none of its {evaluation.n_genes:,} genes is both detected in it and "
            f"measured by a dataset of the cells compared ({evaluation.n_mapped:,} are known to the "
            "Census), so that their content cannot be compared; use --by joinid,donor or "
            "a file with more genes"
        )

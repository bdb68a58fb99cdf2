"""The cells of evaluation data in a corpus, looked for once for all subsets of a sweep.

What `curate build --exclude-overlap` would find each time anew is kept, and given to each build as it was
found: the manifests are the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.atomic import atomic_file, atomic_folder
from curate.build.candidates import find_candidates
from curate.build.exclusions import Exclusion
from curate.build.leakage.guard import CELL_METHODS, overlap_exclusions, read_evaluation
from curate.errors import EvaluationError
from curate.evaluate.sweep.grid import CENSUS_PREFIX, MANIFEST_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from curate.build.exclusions import Mask
    from curate.census import Census
    from curate.corpus import Corpus

FOUND_FILE = "exclusions.json"


def find_overlaps(
    corpus: Corpus,
    data: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    where: str | None,
    tell: Callable[[str], None],
) -> None:
    """Look for the cells of evaluation data in a corpus, and keep what was found.

    Parameters
    ----------
    data
        How each is read, as jobs have it.
    path
        The folder to make.

    Raises
    ------
    EvaluationError
        When one is no file or store.
    LeakageError
        When one can be compared by no method.
    """
    kept: list[_Kept] = []
    with corpus.open_census() as census:
        for exclusion in live_overlaps(corpus, data, census=census, tell=tell):
            kept.append(_Kept(exclusion))
        find_candidates(corpus, where, [each.listening for each in kept])
    with atomic_folder(path) as aside:
        for number, each in enumerate(kept):
            with atomic_file(aside / f"{number}.npy") as file, file.open("wb") as stream:
                rows = np.zeros(0, np.int64) if each.dropped is None else np.flatnonzero(each.dropped)
                np.save(stream, rows, allow_pickle=False)
        records = [
            {"reason": each.exclusion.reason, "parameters": each.parameters, "label": each.exclusion.label}
            for each in kept
        ]
        with atomic_file(aside / FOUND_FILE) as file:
            file.write_text(json.dumps(records))


def kept_overlaps(corpus: Corpus, path: Path) -> list[Exclusion]:
    """Return exclusions of the corpus' cells that `find_overlaps` has found."""
    found = []
    for number, record in enumerate(json.loads((path / FOUND_FILE).read_text())):
        mask = np.zeros(corpus.n_cells, np.bool_)
        mask[np.load(path / f"{number}.npy", allow_pickle=False)] = True
        found.append(
            Exclusion(record["reason"], parameters=record["parameters"], drop=mask, label=record["label"])
        )
    return found


def live_overlaps(
    corpus: Corpus, data: Sequence[Mapping[str, Any]], *, census: Census, tell: Callable[[str], None]
) -> Iterator[Exclusion]:
    """Yield exclusions that look for the cells when their turn comes, in spike-ins too."""
    for each in data:
        ref, options = each["ref"], each["options"]
        if ref.startswith((CENSUS_PREFIX, MANIFEST_PREFIX)):
            raise EvaluationError(
                f"exclude_overlap compares files and stores with the corpus, and {ref} is neither; leave its "
                'cells out by `where` or a task document, or set leakage = "drop"'
            )
        evaluation = read_evaluation(
            corpus, ref, census=census, layer=options.get("layer"), gene_column=options.get("gene_column")
        )
        yield from overlap_exclusions(corpus, evaluation, census=census, by=list(CELL_METHODS), tell=tell)


@dataclass(eq=False)
class _Kept:
    """Remembers what an exclusion drops of the cells that are left when its turn comes."""

    exclusion: Exclusion
    dropped: Mask | None = None

    @property
    def listening(self) -> Exclusion:
        """The exclusion, which tells what it drops."""
        return replace(self.exclusion, drop=self._drop)

    @property
    def parameters(self) -> dict[str, object]:
        """What a manifest records of it."""
        noted = self.exclusion.noted(None) if self.exclusion.noted else {}
        return {**self.exclusion.parameters, **noted}

    def _drop(self, corpus: Corpus, kept: Mask) -> Mask:
        drop = self.exclusion.drop
        self.dropped = (drop(corpus, kept) if callable(drop) else drop) & kept
        return self.dropped

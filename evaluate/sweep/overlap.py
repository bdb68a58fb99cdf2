"""The cells of evaluation data in a corpus, or in a subset, looked for once for all that need to know.

What `curate build --exclude-overlap` would find each time anew is kept, and given to each build as it was
found: the manifests are the same, and what is evaluated on them need not be looked for again. Without it each
subset is compared with each data set once.
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
from curate.evaluate.leakage import Leaked, leaked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from curate.build.exclusions import Mask
    from curate.census import Census
    from curate.corpus import Corpus
    from curate.evaluate.data import EvaluationData
    from curate.manifests.manifest import Manifest

OF_CORPUS_FILE, OF_SUBSET_FILE = "exclusions.json", "leaked.json"


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
    LeakageError
        When one can be compared by no method.
    """
    kept: list[_Kept] = []
    with corpus.open_census() as census:
        for read in data:
            exclusions = live_overlaps(corpus, [read], census=census, tell=tell)
            kept += [_Kept(exclusion, read["ref"]) for exclusion in exclusions]
        find_candidates(corpus, where, [each.listening for each in kept])
    with atomic_folder(path) as aside:
        for number, each in enumerate(kept):
            with atomic_file(aside / f"{number}.npy") as file, file.open("wb") as stream:
                rows = np.zeros(0, np.int64) if each.dropped is None else np.flatnonzero(each.dropped)
                np.save(stream, rows, allow_pickle=False)
        records = [
            {
                "reason": each.exclusion.reason,
                "parameters": each.parameters,
                "label": each.exclusion.label,
                "ref": each.ref,
                "untold": each.exclusion.untold() if each.exclusion.untold else (0, 0),
            }
            for each in kept
        ]
        with atomic_file(aside / OF_CORPUS_FILE) as file:
            file.write_text(json.dumps(records))


def kept_overlaps(corpus: Corpus, path: Path) -> list[Exclusion]:
    """Return exclusions of the corpus' cells that `find_overlaps` has found."""
    found = []
    for number, record in enumerate(json.loads((path / OF_CORPUS_FILE).read_text())):
        mask = np.zeros(corpus.n_cells, np.bool_)
        mask[np.load(path / f"{number}.npy", allow_pickle=False)] = True
        found.append(
            Exclusion(record["reason"], parameters=record["parameters"], drop=mask, label=record["label"])
        )
    return found


def untold(path: Path, ref: str) -> tuple[int, int]:
    """Return how many cells of evaluation data could not be told from the corpus', and of how many."""
    records = json.loads((path / OF_CORPUS_FILE).read_text())
    return max(((*record["untold"],) for record in records if record["ref"] == ref), default=(0, 0))


def is_of_corpus(path: Path) -> bool:
    """Tell whether a folder holds what `find_overlaps` has found."""
    return (path / OF_CORPUS_FILE).exists()


def live_overlaps(
    corpus: Corpus, data: Sequence[Mapping[str, Any]], *, census: Census, tell: Callable[[str], None]
) -> Iterator[Exclusion]:
    """Yield exclusions that look for the cells when their turn comes, in spike-ins too."""
    for each in data:
        ref, options = each["ref"], each["options"]
        evaluation = read_evaluation(
            corpus, ref, census=census, layer=options.get("layer"), gene_column=options.get("gene_column")
        )
        yield from overlap_exclusions(corpus, evaluation, census=census, by=list(CELL_METHODS), tell=tell)


def look_for(data: EvaluationData, manifest: Manifest, path: Path) -> None:
    """Look for the training cells of a manifest among evaluation data, and keep what was found.

    Parameters
    ----------
    path
        The folder to make.
    """
    found = leaked(data, manifest)
    with atomic_folder(path) as aside:
        with atomic_file(aside / "0.npy") as file, file.open("wb") as stream:
            np.save(stream, np.flatnonzero(found.cells), allow_pickle=False)
        with atomic_file(aside / OF_SUBSET_FILE) as file:
            said = {name: value for name, value in vars(found).items() if name != "cells"}
            file.write_text(json.dumps(said))


def kept_leaked(data: EvaluationData, path: Path) -> Leaked:
    """Return what `look_for` has found."""
    said = json.loads((path / OF_SUBSET_FILE).read_text())
    cells = np.zeros(data.n_cells, np.bool_)
    cells[np.load(path / "0.npy", allow_pickle=False)] = True
    return Leaked(cells, **said)


@dataclass(eq=False)
class _Kept:
    """Remembers what an exclusion drops of the cells that are left when its turn comes."""

    exclusion: Exclusion
    ref: str
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

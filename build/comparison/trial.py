"""A strategy tried on a corpus, in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.build.comparison.child import CANDIDATES_FILE, REFERENCE_FILE, RESULT_FILE, rows_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from curate.build.candidates import Candidates
    from curate.build.embeddings.embedding import Embedding
    from curate.build.task.target import TaskTarget
    from curate.corpus import Corpus

CHILD = "curate.build.comparison.child"


@dataclass(frozen=True)
class Trial:
    """What came of a strategy.

    Attributes
    ----------
    strategy
        As it was named, settings in brackets.
    error
        Why there is nothing else; None where there is.
    rows
        The chosen rows of the corpus by seed, int64 [n] ascending.
    seconds, further_s
        Reading, preparing and the first choice; a mean further one, None with one seed.
    peak_bytes, base_bytes
        Peak resident memory of the process, mapped files included, and that before anything was read.
    effective_sizes
        Of the weights, by seed; None where there are none.
    """

    strategy: str
    error: str | None = None
    rows: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    seconds: float | None = None
    further_s: float | None = None
    peak_bytes: int | None = None
    base_bytes: int | None = None
    effective_sizes: dict[int, float | None] = field(default_factory=dict)


def try_strategy(
    strategy: str,
    corpus: Corpus,
    *,
    candidates: Candidates,
    embedding: Embedding | None,
    target: TaskTarget | None = None,
    ontology: str | None = None,
    n_cells: int,
    seeds: Sequence[int],
) -> Trial:
    """Let a strategy choose in a process of its own; whatever goes wrong there is its result.

    Parameters
    ----------
    ontology
        Where that of the target was read from: as in `Ontology.load`.
    """
    with TemporaryDirectory(prefix="curate-") as name:
        folder = Path(name)
        trial = {
            "corpus": str(corpus.path.resolve()),
            "embedding": None if embedding is None else str(embedding.path.resolve()),
            "strategy": strategy,
            "n_cells": n_cells,
            "seeds": list(seeds),
            "target": None if target is None else _described(target, ontology),
        }
        if candidates.rows is not None:
            np.save(folder / CANDIDATES_FILE, candidates.rows)
        if target is not None and target.reference is not None:
            np.save(folder / REFERENCE_FILE, target.reference)
        done = subprocess.run(
            # -P: no file of the current folder stands in for a module.
            [sys.executable, "-P", "-m", CHILD],
            input=json.dumps({"folder": name, "trial": trial}),
            capture_output=True,
            text=True,
            check=False,
        )
        path = folder / RESULT_FILE
        if not path.exists():
            return Trial(strategy, error=_end(done))
        result = json.loads(path.read_text())
        if "error" in result:
            return Trial(strategy, error=result["error"])
        return Trial(
            strategy,
            rows={seed: np.load(folder / rows_file(seed), allow_pickle=False) for seed in seeds},
            seconds=result["seconds"],
            further_s=result["further_s"],
            peak_bytes=result["peak_bytes"],
            base_bytes=result["base_bytes"],
            effective_sizes=dict(zip(seeds, result["effective_size"], strict=True)),
        )


def _described(target: TaskTarget, ontology: str | None) -> dict[str, Any]:
    """Return a target as JSON knows it, but for its vectors."""
    return {
        "name": target.name,
        "wanted": list(target.wanted),
        "with_descendants": target.with_descendants,
        "ontology": {"source": ontology, "release": target.ontology.release},
    }


def _end(done: subprocess.CompletedProcess[str]) -> str:
    """Say how a process ended that left no result."""
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        hint = "; it may have taken more memory than there is" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return f"its process failed: {lines[-1] if lines else f'exit {done.returncode}'}"

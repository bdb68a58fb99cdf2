"""The training cells as the passes of an embedding see them, for models that are found and not trained."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import polars as pl

from curate.build.embeddings.passes import add_up, unit_gram, unit_moments
from curate.build.embeddings.pca import GeneMoments, gram_size
from curate.errors import ModelError
from curate.passes.schedule import Task, schedule
from curate.passes.units import UNIT_CELLS, Unit
from curate.train.fit.log import SCHEMA
from curate.train.fit.plan import FitReport
from curate.train.loader.loader import read_weights
from curate.train.loader.order import weighted_times
from curate.train.shards.counts import ShardCounts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from curate.build.embeddings.pca import Scaling
    from curate.train.fit.plan import FitPlan
    from curate.train.shards.shards import Shards

TARGET_SUM = 1e4


@dataclass(frozen=True)
class TrainingCells:
    """Training cells that something is to be found of.

    Sums over them have the same bits whatever the threads and the sizes of shards. Memory: 8 bytes a cell,
    and what the passes of an embedding take.

    Attributes
    ----------
    rows
        int64 [n] ascending, in the split; a cell that was drawn twice stands twice.
    folder
        Where sums are kept, so that a run that was killed goes on; they are not when None.
    """

    counts: ShardCounts
    rows: NDArray[np.int64]
    folder: Path | None = None
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, shards: Shards, plan: FitPlan | None = None) -> Self:
        """Return all training cells or, with a plan, those that it weights and its max_cells allows.

        Raises
        ------
        ShardError
            When there are none, or weights are asked for and there are none.
        """
        rows = np.arange(shards.n_cells("train"))
        if plan is None:
            return cls(ShardCounts(shards), rows)
        if plan.is_weighted:
            times = weighted_times(read_weights(shards, "train"), seed=plan.seed, epoch=0)
            rows = np.repeat(rows, times)
        # Shards are shuffled: the first cells are cells at random.
        return cls(ShardCounts(shards), rows[: plan.budget.max_cells], plan.folder)

    def moments(self) -> GeneMoments:
        """Return mean and variance of all genes, in a pass over the cells.

        Raises
        ------
        ModelError
            When there are fewer than two cells.
        """
        n = self.rows.size
        if n < 2:
            raise ModelError(f"{n} training cells, in which no gene varies; build a larger subset")
        task = Task(
            unit_moments,
            self.rows,
            {"counts": self.counts, "target_sum": TARGET_SUM},
            by_cell=(np.ones(n, np.bool_),),
        )
        sums = self._sums("moments", task, (self.counts.n_genes, 4), title="Moments of genes")
        return GeneMoments(sums, n, n, target_sum=TARGET_SUM)

    def gram(self, scaling: Scaling, genes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what `curate.build.embeddings.pca.gram_sums` adds up of some genes, in a pass."""
        task = Task(unit_gram, self.rows, {"counts": self.counts, "genes": genes, "scaling": scaling})
        made_from = genes.tobytes() + scaling.mean.tobytes() + scaling.std.tobytes()
        return self._sums("gram", task, (gram_size(genes.size),), title="Covariance", made_from=made_from)

    def report(self, metrics: Mapping[str, float]) -> FitReport:
        """Return the report of a model that was found by passes over these cells."""
        seconds = time.monotonic() - self.started
        rows = [(0, self.rows.size, 0, seconds, "train", name, value) for name, value in metrics.items()]
        return FitReport(
            stopped="fitted",
            n_steps=0,
            n_cells=self.rows.size,
            n_epochs=1,
            seconds=seconds,
            metrics=pl.DataFrame(rows, schema=SCHEMA, orient="row"),
        )

    def _sums(
        self, name: str, task: Task, shape: tuple[int, ...], *, title: str, made_from: bytes = b""
    ) -> NDArray[np.float64]:
        kept = None
        if self.folder is not None:
            # What decides the sums is in the name, so that those of other cells are not taken for them.
            header = self.counts.shards.header
            digest = hashlib.sha256(f"{header.manifest} {header.seed} ".encode())
            digest.update(self.rows.tobytes())
            digest.update(made_from)
            self.folder.mkdir(parents=True, exist_ok=True)
            kept = self.folder / f"{name}-{digest.hexdigest()[:16]}.safetensors"
        n = self.rows.size
        units = [Unit(((first, min(first + UNIT_CELLS, n)),)) for first in range(0, n, UNIT_CELLS)]
        with schedule() as runner:
            return add_up(kept, task, units, shape=shape, schedule=runner, title=title)

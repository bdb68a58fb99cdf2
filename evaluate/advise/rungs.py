"""The manifests of a ladder, each built when it is first asked for, and found when it is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from curate.build.builder import OBS_COLUMNS, Builder
from curate.build.candidates import find_candidates
from curate.build.chooser import make_ready
from curate.build.ladder_lines import build_line, step_name
from curate.build.requests import cells_of_fraction
from curate.build.splits.splits import make_splits
from curate.build.strategies.named import settle
from curate.build.task.exclusions import task_exclusions
from curate.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from curate.build.embeddings.embedding import Embedding
    from curate.build.ladder_lines import Step
    from curate.build.strategies.named import Named
    from curate.build.task.task import Task
    from curate.corpus import Corpus
    from curate.manifests.manifest import Manifest
    from curate.manifests.registry import Registry

#: Steps, as shares of the corpus, about as far apart each.
FRACTIONS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
#: Cells of the smallest step, where no fractions are given: fewer train nothing.
LEAST_CELLS = 200


@dataclass(eq=False)
class Rungs:
    """A ladder that grows as far as it is asked to.

    Attributes
    ----------
    sizes
        Cells of each fraction, ascending; the last fraction is 1.
    nested
        Whether each step of a seed contains the one before it, as it does where the strategy can.
    """

    builder: Builder
    sizes: dict[float, int]
    nested: bool
    name: str
    _lines: dict[int, Iterator[Step]] = field(default_factory=dict, repr=False)
    _built: dict[int, list[Step]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(
        cls,
        corpus: Corpus,
        task: Task,
        *,
        registry: Registry,
        strategy: Named,
        fractions: Sequence[float] = (),
        embedding: Embedding | None = None,
        where: str | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> Rungs:
        """Find what the ladder can choose from; nothing is built.

        Parameters
        ----------
        fractions
            Of the cells to choose from; 1 is added where it lacks. By default those of FRACTIONS that are
            LEAST_CELLS cells or more.

        Raises
        ------
        SelectionError
            When the strategy or a fraction is none, or fewer than three steps are left.
        EmbeddingError, TaskError
            As `curate.build.build.build`.
        """
        settled = settle(strategy)
        # A task that decides nothing is no part of a manifest.
        used = task if task.excludes or settled.strategy.needs_task else None
        chosen = make_ready(settled, corpus=corpus, embedding=embedding, task=used)
        with task_exclusions(used, tell=tell) as left_out:
            candidates = find_candidates(corpus, where, left_out)
        chosen = chosen.aimed(used, candidates)
        n = candidates.n_cells
        given = {*fractions, 1.0} if fractions else {each for each in FRACTIONS if each * n >= LEAST_CELLS}
        sizes = {each: cells_of_fraction(each, n) for each in sorted(given)}
        if len(sizes) < 3:
            raise SelectionError(
                f"{len(sizes)} steps of {n:,} cells are too few for a curve; name three or more "
                "with --fractions"
            )
        splits = make_splits(corpus, candidates)
        obs = corpus.columns(OBS_COLUMNS)
        builder = Builder(registry, corpus, candidates, splits, chosen, where=where, obs=obs)
        name = f"advise-{task.document.name}"
        registry.check_name(step_name(name, chosen.label, min(sizes), 99))
        return cls(builder, sizes, chosen.strategy.nested, name)

    def manifest(self, step: int, seed: int) -> Manifest:
        """Return the manifest of a step and seed; those below it are built before it.

        Raises
        ------
        SelectionError
            When a step does not contain the one below it, though the strategy promises so.
        """
        # What draws nothing chooses the same cells by every seed.
        seed = seed if self.builder.chosen.strategy.is_drawn else 0
        if seed not in self._lines:
            self._built[seed] = []
            self._lines[seed] = build_line(
                self.builder, self.sizes, seed=seed, nested=self.nested, name=self.name
            )
        built = self._built[seed]
        while len(built) <= step:
            built.append(next(self._lines[seed]))
        record = built[step].record
        return self.builder.registry.open(record.manifest, record.version)

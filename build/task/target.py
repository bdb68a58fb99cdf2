"""What a strategy is told of a downstream task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.ontology import Ontology


@dataclass(frozen=True)
class TaskTarget:
    """A task, resolved against a corpus and, where a strategy needs one, an embedding.

    Nothing of it depends on the held-out half of the reference.

    Attributes
    ----------
    wanted
        Ids of the Cell Ontology that the task asks for, ascending and distinct; descendants are not filled
        in. Empty where the task names no type.
    with_descendants
        Whether a kind of a wanted type is wanted too.
    ontology
        In the release that the ids were looked up in.
    reference
        float32 [n_reference, d]: the training half of the reference data in the space of the embedding,
        ordered by the names of its cells; of a task that has a description only, the vectors of cells to
        choose from that match it, in their order. At least one row. None where the strategy needs no
        embedding.
    """

    name: str
    wanted: tuple[str, ...]
    with_descendants: bool
    ontology: Ontology
    reference: NDArray[np.float32] | None = None

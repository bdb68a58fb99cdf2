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

    Attributes
    ----------
    wanted
        Ids of the Cell Ontology that the task asks for, as written down: descendants are not filled in.
    with_descendants
        Whether a kind of a wanted type is wanted too.
    reference
        float32 [n_reference, d]: the training half of the reference data in the space of the embedding; of a
        task that has a description only, the cells of the corpus that match it. None without an embedding.
    """

    name: str
    wanted: tuple[str, ...]
    with_descendants: bool
    ontology: Ontology
    reference: NDArray[np.float32] | None = None

"""An evaluation set: who its cells are, which genes they have, what they detect."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from curate.build.leakage.packed import Packed

IDENTITY_COLUMNS = ("dataset_id", "donor_id", "observation_joinid")


@dataclass(frozen=True)
class GeneGroup:
    """Cells of an evaluation set that were measured in the same genes.

    Attributes
    ----------
    cells
        int64 [n], their rows in the evaluation set.
    genes
        int64 [n_genes] ascending, the genes' places in the var of the corpus' Census. Genes that none of the
        cells detects are not among them: a file may hold them as zeros without having measured them.
    packed
        What they detect of these genes.
    is_count
        bool [n], whether their counts are known; others hold 1 for each gene that they detect.
    """

    cells: NDArray[np.int64]
    genes: NDArray[np.int64]
    packed: Packed
    is_count: NDArray[np.bool_]


@dataclass(frozen=True)
class EvaluationSet:
    """The cells of an evaluation set.

    Attributes
    ----------
    name
        What it is called in reports: the name of its file or folder.
    names
        Text [n_cells], what its cells are called.
    obs
        Those of IDENTITY_COLUMNS that it has, text [n_cells].
    groups
        The cells by the genes they were measured in; one for an h5ad file.
    n_genes, n_mapped
        Genes that it has, and of those the genes that the Census has.
    is_count
        bool [n_cells], whether their counts are known; others are compared by detected genes only.
    was_normalised
        Whether the counts had to be restored from normalised values.
    release_joinids
        (content of the Census, soma_joinids int64 [n_cells]) of a store; None of a file.
    content
        uint64 [n_cells], hashes of the cells' counts over all genes of the file, by its own names of them; 0
        where counts are not known.
    fingerprint
        sha256 (hex) of its content: counts, genes and IDENTITY_COLUMNS, not its path nor its cells' names.
    """

    name: str
    names: pl.Series
    obs: pl.DataFrame
    groups: tuple[GeneGroup, ...]
    n_genes: int
    n_mapped: int
    is_count: NDArray[np.bool_]
    was_normalised: bool
    release_joinids: tuple[str, NDArray[np.int64]] | None
    content: NDArray[np.uint64]
    fingerprint: str

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.names)

    def genes(self) -> NDArray[np.int64]:
        """Return the genes that any of its cells has, int64 ascending."""
        if not self.groups:
            return np.empty(0, np.int64)
        found: NDArray[np.int64] = np.unique(np.concatenate([group.genes for group in self.groups]))
        return found


def fingerprint_of(hashes: NDArray[np.uint64], is_count: NDArray[np.bool_], obs: pl.DataFrame) -> str:
    """Return the sha256 (hex) of an evaluation set's content.

    Parameters
    ----------
    hashes
        uint64 [n_cells], of the counts of each cell over the file's own genes.
    """
    digest = hashlib.sha256(hashes.astype("<u8").tobytes())
    digest.update(is_count.tobytes())
    for name in obs.columns:
        digest.update(f"\n{name}\n".encode())
        digest.update("\n".join(obs[name].fill_null("")).encode())
    return digest.hexdigest()

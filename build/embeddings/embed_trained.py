"""An embedding of a corpus by a trained model, in a stream.

1. the genes of the corpus in those of the model, by Ensembl id, and whether enough of them are there;
2. the vectors of every cell, in one pass over the counts of those genes;
3. what was made, and by which model, is written down.

A run that was killed goes on where it was, less a minute.
"""

from __future__ import annotations

import re
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curate.atomic import atomic_file, atomic_folder
from curate.build.embeddings.cells import joinids_on_disk
from curate.build.embeddings.embed import BLOCK_CELLS
from curate.build.embeddings.embedding import (
    GENES_FILE,
    HEADER_FILE,
    VALUES_FILE,
    Embedding,
    EmbeddingDocument,
    check_name,
    embedding_id,
    software,
)
from curate.build.embeddings.interrupted import PASSES, opened_again, prepare
from curate.build.embeddings.passes import write_projection
from curate.documents import file_digest
from curate.genes import map_genes
from curate.passes.counts import corpus_counts
from curate.passes.schedule import Task, schedule
from curate.passes.units import Windows
from curate.train.embed.device import on_device
from curate.train.embed.genes import MIN_OVERLAP, Overlap, refuse_small_overlap
from curate.train.models.files import WEIGHTS_FILE, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from curate.corpus import Corpus
    from curate.passes.counts import Counts
    from curate.train.artifact import Artifact
    from curate.train.models.model import Model

    Runs = Sequence[NDArray[np.int64]]


def embed_trained(
    corpus: Corpus,
    artifact: Artifact,
    *,
    name: str | None = None,
    min_overlap: float = MIN_OVERLAP,
    accelerator: str = "auto",
    workers: int | None = None,
    scheduler: str | None = None,
) -> Embedding:
    """Embed a corpus by a trained model, so that strategies can choose by it.

    Parameters
    ----------
    name
        Folder under the corpus' embeddings; by default that of the model.
    min_overlap
        Least share of the model's genes that the corpus must have; the others are taken as zero.
    accelerator
        "cpu", "gpu", or "auto": the GPU where there is one.
    workers, scheduler
        As for `curate.build.embeddings.embed.embed`; workers must reach the folder of the model.

    Returns
    -------
    Embedding

    Notes
    -----
    Memory: the model, four blocks of counts and what reading them takes, and what the model needs for
    `Model.embed_cells` cells.

    Raises
    ------
    ModelError
        When the corpus has too few of the model's genes, or a file of the model is damaged.
    EmbeddingError
        When the name is taken, or a vector is not finite.
    ScheduleError, CensusError
        When Dask cannot be used, or the counts cannot be read.
    """
    name = name or re.sub(r"[^A-Za-z0-9._-]", "-", artifact.name)
    check_name(name)
    path = corpus.embeddings_path / name
    parameters = {
        "artifact": artifact.id,
        "architecture": artifact.header.model,
        "weights": artifact.header.files[WEIGHTS_FILE],
    }
    if path.exists():
        return opened_again(path, corpus, parameters)
    # 1. The genes.
    model = artifact.load()
    mapping = map_genes(list(corpus.genes().feature_ids), table=model.genes)
    refuse_small_overlap(Overlap.of(mapping), f"corpus {corpus.name}", min_overlap=min_overlap)
    genes = np.flatnonzero(mapping.target >= 0)
    # 2. The vectors.
    with (
        corpus_counts(corpus, block_cells=BLOCK_CELLS) as counts,
        schedule(workers=workers, scheduler=scheduler) as runner,
        atomic_folder(path, resumable=True) as folder,
    ):
        prepare(folder, corpus, parameters)
        joinids = joinids_on_disk(corpus, folder / PASSES)
        shared = {
            "counts": counts,
            "genes": genes,
            "columns": mapping.target[genes],
            "model": str(artifact.path.resolve()),
            "accelerator": accelerator,
        }
        n_empty = write_projection(
            folder / VALUES_FILE,
            folder / PASSES / "projection.json",
            Task(unit_vectors, joinids, shared),
            Windows.of(joinids).units(),
            n_components=artifact.header.n_dims,
            schedule=runner,
            title=f"Embedding by {artifact.header.model}",
        )
        # 3. Written down.
        with atomic_file(folder / GENES_FILE) as aside:
            corpus.gene_table[genes].write_parquet(aside)
        EmbeddingDocument(
            id=embedding_id(corpus.id, model="trained", made_from=parameters),
            name=name,
            corpus=corpus.id,
            model="trained",
            parameters=parameters,
            n_cells=corpus.n_cells,
            n_components=artifact.header.n_dims,
            n_genes=genes.size,
            n_cells_without_counts=n_empty,
            sha256=file_digest(folder / VALUES_FILE),
            created=datetime.now(UTC),
            software=software(),
        ).save(folder / HEADER_FILE)
        shutil.rmtree(folder / PASSES)
    return Embedding.open(path, corpus)


def unit_vectors(
    runs: Runs,
    *,
    counts: Counts,
    genes: NDArray[np.int64],
    columns: NDArray[np.int64],
    model: str,
    accelerator: str,
) -> tuple[NDArray[np.float32], int]:
    """Return the vectors of the cells of a unit, and how many of them have no counts.

    Parameters
    ----------
    genes, columns
        int64 [n], positions in the corpus and in the model of the genes that both have.
    model
        Its folder.
    """
    opened = _opened(model, accelerator)
    parts, n_empty = [], 0
    for block in counts.blocks(runs, genes):
        parts.append(opened.embed(_placed(block.counts, columns, opened.genes.n_genes)))
        n_empty += int((np.diff(block.counts.indptr) == 0).sum())
    return np.concatenate(parts), n_empty


def _placed(counts: sp.csr_array, columns: NDArray[np.int64], n_genes: int) -> sp.csr_array:
    """Return counts with their columns at other places."""
    placed = type(counts)(
        (counts.data, columns[counts.indices], counts.indptr), shape=(counts.shape[0], n_genes)
    )
    placed.sort_indices()
    return placed


#: What this process has open.
_OPEN: dict[tuple[str, str], Model] = {}
_OPENING = threading.Lock()


def _opened(model: str, accelerator: str) -> Model:
    with _OPENING:
        if (model, accelerator) not in _OPEN:
            _OPEN.clear()
            _OPEN[model, accelerator] = on_device(load(Path(model)), accelerator)
        return _OPEN[model, accelerator]

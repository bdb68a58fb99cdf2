"""Write a manifest into a registry, as a new version or, when its content is there already, not at all.

1. put the cells into the order of the format;
2. count what they are made of;
3. derive the id from all that decides the content;
4. return the version that has this id, if there is one, its cells restored where they are missing;
5. else write the next version aside and rename it into place; when another writer took the number, go to 4.
"""

from __future__ import annotations

import platform
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from curate import __version__
from curate.atomic import atomic_file, atomic_folder
from curate.build.composition import COMPOSITION_COLUMNS, Summary, summarise
from curate.errors import ManifestError, WriteError
from curate.manifests.cells import Cells
from curate.manifests.document import (
    CENSUS,
    CorpusRecord,
    DiversityRecord,
    FileRecord,
    GenesRecord,
    ManifestDocument,
)
from curate.manifests.manifest import Manifest
from curate.manifests.obs import read_obs
from curate.manifests.reading import CELLS_FILE, DOCUMENT_FILE, file_digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from curate.corpus import Corpus
    from curate.manifests.document import (
        ExclusionRecord,
        ParentRecord,
        SelectionRecord,
        SpikeInRecord,
        SplitRecord,
    )
    from curate.manifests.registry import Registry
    from curate.sources.source import Source

_UNSET = "0" * 64


def write_manifest(
    registry: Registry,
    name: str,
    *,
    corpus: Corpus,
    cells: pl.DataFrame,
    selection: SelectionRecord,
    splits: SplitRecord,
    spike_ins: Sequence[SpikeInRecord] = (),
    exclusions: Sequence[ExclusionRecord] = (),
    parents: Sequence[ParentRecord] = (),
    obs: pl.DataFrame | None = None,
    sources: Mapping[str, Source] | None = None,
) -> Manifest:
    """Write down a selection of cells and return it as a manifest.

    Parameters
    ----------
    name
        Letters, digits and ``._+=-``. A name has versions; the name alone refers to its newest.
    cells
        Columns source ("census" for the corpus' own cells, else the name of a spike-in), soma_joinid (of a
        spike-in: the row in its source), split (train, val, test), and where they mean something weight and
        rank. Any order, any encoding.
    selection, splits, spike_ins
        The settings. What is counted from the cells (n_cells, counts) is filled in here.
    obs
        Columns COMPOSITION_COLUMNS and donor_id, row by row as `cells`; read from the corpus, and for
        spike-ins from `sources`, when not given.
    sources
        By name, the sources that spike-ins come from.

    Returns
    -------
    Manifest
        The version that was written, or the version of this name that holds the same content already.

    Raises
    ------
    ManifestError
        When the name cannot be one, there is no cell, or cells and settings contradict each other.
    WriteError
        When it cannot be written; the registry is then as it was.
    """
    registry.check_name(name)
    if len(cells) == 0:
        raise ManifestError("no cell was chosen; a manifest holds at least one")
    held = Cells.from_frame(cells)
    _check_sources(held, spike_ins)
    if obs is None:
        columns = [*COMPOSITION_COLUMNS, "donor_id"]
        obs = read_obs(corpus, held, columns, sources=sources).with_columns(held.splits())
    else:
        obs = obs.with_columns(cells["split"])
    summary = summarise(obs)
    content = held.to_parquet()
    draft = ManifestDocument(
        name=name,
        version=1,
        id=_UNSET,
        created=datetime.now(UTC).replace(microsecond=0),
        corpus=corpus_record(corpus),
        genes=_genes_record(corpus),
        selection=selection.model_copy(update={"n_cells": held.sources.get(CENSUS, 0)}),
        splits=splits.model_copy(
            update={
                "counts": held.n_by_split,
                "labels_in_one_split": summary.labels_in_one_split,
                "labels_outside_train": summary.labels_outside_train,
            }
        ),
        spike_ins=tuple(
            spike_in.model_copy(update={"n_cells": held.sources[spike_in.source]}) for spike_in in spike_ins
        ),
        exclusions=tuple(exclusions),
        parents=tuple(parents),
        n_cells=len(held),
        n_donors=summary.n_donors,
        composition=summary.composition,
        diversity=diversity_records(summary),
        software=_software(),
        files={CELLS_FILE: file_record(content)},
        digest=_UNSET,
    )
    draft = draft.model_copy(update={"id": draft.content_id(held.digest())})
    document = _add_version(registry, draft, content)
    folder = registry.version_path(document.name, document.version)
    return Manifest(document, folder=str(folder), workspace=registry.workspace, known_corpus=corpus)


def _add_version(registry: Registry, draft: ManifestDocument, content: bytes) -> ManifestDocument:
    while True:
        number = registry.next_version(draft.name)  # before the search: nothing falls between
        same = registry.find_version(draft.name, draft.id)
        if same is not None:
            _restore_cells(registry.version_path(same.name, same.version) / CELLS_FILE, same, content)
            return same
        document = draft.model_copy(update={"version": number}).sealed()
        path = registry.version_path(document.name, document.version)
        try:
            with _leaving_no_empty_folder(path.parent), atomic_folder(path) as aside:
                (aside / CELLS_FILE).write_bytes(content)
                (aside / DOCUMENT_FILE).write_bytes(document.to_bytes())
        except WriteError:
            if not path.exists():
                raise
            continue  # another writer took the number while we wrote
        return document


def _restore_cells(path: Path, document: ManifestDocument, content: bytes) -> None:
    """Write cells.parquet again where it is missing or cut short, if these are the bytes that it had."""
    recorded = document.files[CELLS_FILE]
    is_whole = path.is_file() and path.stat().st_size == recorded.n_bytes
    if not is_whole and file_digest_of(content) == recorded.sha256:
        with atomic_file(path) as aside:
            aside.write_bytes(content)


@contextmanager
def _leaving_no_empty_folder(path: Path) -> Iterator[None]:
    """Remove the folder of a name, and of the registry, when nothing came to stand in it."""
    made = [folder for folder in (path, path.parent) if not folder.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


def _check_sources(cells: Cells, spike_ins: Sequence[SpikeInRecord]) -> None:
    described = {spike_in.source for spike_in in spike_ins}
    undescribed = sorted(set(cells.sources) - described - {CENSUS})
    if undescribed:
        n = cells.sources[undescribed[0]]
        raise ManifestError(f"{n:,} cells are of source {undescribed[0]!r}, which no spike-in describes")
    empty = sorted(described - set(cells.sources))
    if empty:
        raise ManifestError(
            f"spike-in {empty[0]!r} has no cell among the cells; leave it out or add its cells"
        )


def corpus_record(corpus: Corpus) -> CorpusRecord:
    """Return what a manifest says about a corpus."""
    header = corpus.header
    return CorpusRecord(
        id=corpus.id,
        name=corpus.name,
        release=header.census.release,
        uri=header.census.uri,
        organism=header.organism,
        recipe=header.recipe.name,
        n_cells=corpus.n_cells,
        identity=header.identity,
        census=header.census.content,
        label=header.census.label,
    )


def diversity_records(summary: Summary) -> dict[str, DiversityRecord]:
    """Return the diversity of a summary as the header holds it."""
    return {column: DiversityRecord(**asdict(held)) for column, held in summary.diversity.items()}


def file_record(content: bytes) -> FileRecord:
    """Return what the header says about a file."""
    return FileRecord(sha256=file_digest_of(content), n_bytes=len(content))


def _genes_record(corpus: Corpus) -> GenesRecord:
    genes = corpus.genes()
    return GenesRecord(id=genes.digest, n=genes.n_genes)


def _software() -> dict[str, str]:
    names = ("numpy", "polars", "pyarrow")
    return {"curate": __version__, "python": platform.python_version()} | {
        name: version(name) for name in names
    }

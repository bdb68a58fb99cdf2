"""A manifest: a document that says what was selected and why, and the cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from curate.errors import ManifestError
from curate.manifests.cells import Cells
from curate.manifests.obs import SOURCE_COLUMNS, read_obs
from curate.manifests.reading import CELLS_FILE, RESTORE, file_digest_of, is_url, read_document, read_file
from curate.manifests.sources import sources_at_hand
from curate.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl
    from anndata import AnnData

    from curate.corpus import Corpus
    from curate.manifests.document import ManifestDocument, Split
    from curate.manifests.verify import Report


@dataclass(frozen=True)
class Manifest:
    """An opened manifest. Opening reads manifest.json; the cells are read when asked for.

    Attributes
    ----------
    folder
        Where it lies: a local path or an fsspec URL.
    workspace
        Where its corpus is looked for.
    known_corpus
        Its corpus, when it is at hand already.
    """

    document: ManifestDocument
    folder: str
    workspace: Workspace | None = field(default=None, compare=False, repr=False)
    known_corpus: Corpus | None = field(default=None, compare=False, repr=False)

    @classmethod
    def load(cls, ref: str | Path, *, workspace: Workspace | None = None) -> Manifest:
        """Open a manifest.

        Parameters
        ----------
        ref
            ``name`` (its newest version), ``name@v3``, ``name@tag``, the first 6 or more digits of an id, the
            path of a version's folder, or an fsspec URL of one.
        workspace
            Where names and corpora are looked for; by default the workspace that the current folder is in.

        Raises
        ------
        ManifestError
            When there is none, or several; when it is damaged, or of a later format.
        WorkspaceError
            When `ref` is a name and there is no workspace.
        """
        from curate.manifests.references import resolve

        return resolve(ref, workspace=workspace)

    @classmethod
    def open(cls, folder: str, *, workspace: Workspace | None = None) -> Manifest:
        """Open the manifest in a folder or at an fsspec URL.

        Raises
        ------
        ManifestError
            When there is none, it is damaged, or of a later format.
        """
        return cls(read_document(folder), folder=folder, workspace=workspace)

    @property
    def id(self) -> str:
        """sha256 (hex) of all that decides the content."""
        return self.document.id

    @property
    def name(self) -> str:
        """The name, without the version."""
        return self.document.name

    @property
    def version(self) -> int:
        """The version of this name, from 1."""
        return self.document.version

    @property
    def ref(self) -> str:
        """The reference of this version: name@vN."""
        return self.document.ref

    def read(self, name: str) -> bytes:
        """Return the bytes of a file of the manifest, checked against its sha256.

        Raises
        ------
        ManifestError
            When it is missing or not the file that was written.
        """
        content = read_file(self.folder, name)
        recorded = self.document.files.get(name)
        if recorded is None or file_digest_of(content) != recorded.sha256:
            raise ManifestError(
                f"{self.folder}/{name} is damaged: its sha256 is not the one recorded; {RESTORE}"
            )
        return content

    @cached_property
    def held_cells(self) -> Cells:
        """The cells as arrays.

        Raises
        ------
        ManifestError
            When cells.parquet is missing or not the file that was written.
        """
        return Cells.from_parquet(self.read(CELLS_FILE))

    def cells(self) -> pl.DataFrame:
        """Return the cells: source, soma_joinid, split, and weight and rank where they mean something.

        Returns
        -------
        DataFrame [n_cells]
            By source and joinid.

        Raises
        ------
        ManifestError
            When cells.parquet is missing or not the file that was written.
        """
        return self.held_cells.to_frame()

    def obs(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return the cells joined with columns of the corpus, by default all.

        Returns
        -------
        DataFrame [n_cells]
            The columns of `cells`, then the corpus'. Those of spike-ins are of their source, where the corpus
            holds it (null where it does not), and then perturbation and is_control may be asked for too.

        Raises
        ------
        ManifestError
            When the corpus is not in the workspace, or does not hold a cell.
        CorpusError
            When the corpus has no such column.
        """
        corpus = self.corpus()
        cells = self.held_cells
        sources = sources_at_hand(self.document, corpus)
        all_columns = [*corpus.header.columns, *(SOURCE_COLUMNS if sources else ())]
        wanted = list(columns) if columns is not None else all_columns
        return cells.to_frame().hstack(read_obs(corpus, cells, wanted, sources=sources))

    def to_anndata(self, *, split: Split | None = None) -> AnnData:
        """Read the cells' counts into memory: from the Census, and from the files of spike-ins.

        Parameters
        ----------
        split
            Only the cells of this split.

        Returns
        -------
        AnnData [n_cells, n_genes]
            X: float32 CSR of raw counts; obs: the cells and the corpus' columns, indexed by soma_joinid, and
            spike-ins by "source:row"; var: the genes of the corpus in its order, indexed by feature_id, and
            for each spike-in which of them it measured, as the others are 0 there all the same. A
            non-zero count takes 8 bytes, twice that while it is read: some 30 kB a cell of 1,800 genes, so
            3 GB for 100,000 cells.

        Raises
        ------
        ManifestError
            When the corpus is not in the workspace, or does not hold the source of a spike-in, or no cell
            has this split.
        SourceError
            When the file of a spike-in is not there, or has changed.
        CensusError
            When the Census cannot be opened.
        """
        from curate.manifests.counts import to_anndata

        return to_anndata(self, split=split)

    def corpus(self) -> Corpus:
        """Return the corpus that the cells come from.

        Raises
        ------
        ManifestError
            When the workspace does not hold it.
        """
        found = self.find_corpus()
        if found is None:
            wanted = self.document.corpus
            raise ManifestError(
                f"corpus {wanted.name!r} ({wanted.id[:12]}) of {self.ref} is not at hand; work in its "
                f"workspace, or build it: recipe {wanted.recipe!r}, release {wanted.release}"
            )
        return found

    def find_corpus(self) -> Corpus | None:
        """Return the corpus that the cells come from, if it is at hand.

        It is looked for in `workspace`, then in the workspace that the manifest's own folder lies in.
        """
        if self.known_corpus is not None:
            return self.known_corpus
        wanted = self.document.corpus.id
        found = self.workspace.corpus_by_id(wanted) if self.workspace is not None else None
        if found is not None or is_url(self.folder):
            return found
        around = Workspace.around(self.folder)
        return around.corpus_by_id(wanted) if around is not None and around != self.workspace else None

    def verify(self) -> Report:
        """Check every file, the id, every cell against the corpus, and every number in the header."""
        from curate.manifests.verify import verify

        return verify(self)

"""Copy a manifest to a folder or an fsspec URL, as it is or with what names its cells outside the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.atomic import atomic_folder
from curate.errors import CorpusError, ManifestError, WriteError
from curate.manifests.identities import PORTABLE_COLUMNS
from curate.manifests.manifest import Manifest
from curate.manifests.obs import read_obs
from curate.manifests.reading import CELLS_FILE, DOCUMENT_FILE, is_url, unreachable
from curate.manifests.sources import sources_at_hand
from curate.manifests.write import file_record

if TYPE_CHECKING:
    import polars as pl


def export(manifest: Manifest, destination: str, *, portable: bool = False) -> Manifest:
    """Copy a manifest.

    Parameters
    ----------
    destination
        A local folder that does not exist yet, or an fsspec URL.
    portable
        Add dataset_id and observation_joinid to cells.parquet. Together they name a cell in every release of
        the Census, so that the manifest can be used without the corpus. The id stays the same.

    Returns
    -------
    Manifest
        The copy.

    Raises
    ------
    ManifestError
        When the manifest is damaged, or is to be portable and its corpus is not at hand or knows no
        observation_joinid.
    WriteError
        When the destination exists or cannot be written.
    """
    files = {name: manifest.read(name) for name in manifest.document.files}
    document = manifest.document
    if portable:
        files[CELLS_FILE] = manifest.held_cells.to_parquet(extra=_identities(manifest))
        records = document.files | {CELLS_FILE: file_record(files[CELLS_FILE])}
        document = document.model_copy(update={"files": records}).sealed()
    files[DOCUMENT_FILE] = document.to_bytes()
    if is_url(destination):
        _put(destination.rstrip("/"), files)
    else:
        with atomic_folder(Path(destination)) as aside:
            for name, content in files.items():
                (aside / name).write_bytes(content)
    return Manifest(document, destination, manifest.workspace, manifest.known_corpus)


def _identities(manifest: Manifest) -> pl.DataFrame:
    corpus = manifest.corpus()
    try:
        sources = sources_at_hand(manifest.document, corpus)
        return read_obs(corpus, manifest.held_cells, PORTABLE_COLUMNS, sources=sources)
    except CorpusError:
        raise ManifestError(
            f"{manifest.ref} cannot be made portable: release {corpus.header.census.release} has no "
            "observation_joinid (the Census has it from schema 1.3.0 on); export it without --portable"
        ) from None


def _put(url: str, files: dict[str, bytes]) -> None:
    """Write files under a URL, manifest.json last: until it is there, there is no manifest."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
        if system.exists(f"{path}/{DOCUMENT_FILE}"):
            raise WriteError(f"{url} holds a manifest; name another place, as manifests are not changed")
        system.makedirs(path, exist_ok=True)
        for name, content in files.items():
            system.pipe_file(f"{path}/{name}", content)
    except WriteError:
        raise
    except (ImportError, ValueError) as error:
        raise WriteError(f"could not write {url}: {error}") from error
    except Exception as error:  # every backend of fsspec has errors of its own, and no common root
        raise WriteError(unreachable(url, error)) from error

"""The spike-ins of a manifest: the registered sources that its cells come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.errors import ManifestError
from curate.sources.source import source_by_id

if TYPE_CHECKING:
    from curate.corpus import Corpus
    from curate.manifests.document import ManifestDocument
    from curate.sources.source import Source


def sources_at_hand(document: ManifestDocument, corpus: Corpus) -> dict[str, Source]:
    """Return the sources that a manifest was spiked with and its corpus holds, by the manifest's name.

    A source is found by its fingerprint: it may be registered under another name.
    """
    found = {
        record.source: source_by_id(corpus, record.id, name=record.source) for record in document.spike_ins
    }
    return {name: source for name, source in found.items() if source is not None}


def sources_of(document: ManifestDocument, corpus: Corpus) -> dict[str, Source]:
    """Return every source that a manifest was spiked with.

    Raises
    ------
    ManifestError
        When its corpus does not hold one.
    """
    found = sources_at_hand(document, corpus)
    for record in document.spike_ins:
        if record.source not in found:
            raise ManifestError(
                f"{document.ref}: {record.n_cells:,} cells are spike-ins of source {record.source!r} "
                f"({record.id[:12]}), which corpus {corpus.name!r} does not hold; add it with `curate corpus "
                f"add-source {record.source} FILE`"
            )
    return found

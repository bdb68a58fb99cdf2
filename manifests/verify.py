"""Check a manifest: its files, its id, its cells against the corpus, the numbers in its header."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from curate.build.composition import COMPOSITION_COLUMNS, summarise
from curate.errors import ManifestError, SourceError
from curate.manifests.check import Check
from curate.manifests.document import CENSUS, SPLITS
from curate.manifests.obs import ABSENT, find_rows, read_obs
from curate.manifests.reading import DOCUMENT_FILE, file_digest_of, parse_document, read_file
from curate.manifests.sources import sources_at_hand
from curate.manifests.verify_parents import check_parents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from curate.corpus import Corpus
    from curate.manifests.cells import Cells
    from curate.manifests.document import ManifestDocument, SpikeInRecord
    from curate.manifests.manifest import Manifest
    from curate.sources.source import Source


@dataclass(frozen=True)
class Report:
    """What `verify` found."""

    ref: str
    id: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed; those that could not be made do not count."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome == "failed")

    def raise_if_failed(self) -> None:
        """Raise ManifestError in one line when a check failed."""
        if self.failed:
            first, n = self.failed[0], len(self.failed)
            raise ManifestError(
                f"{self.ref} failed {n} of {len(self.checks)} checks: {first.name}: {first.detail}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return {
            "ref": self.ref,
            "id": self.id,
            "ok": self.ok,
            "checks": [asdict(check) for check in self.checks],
        }


def verify(manifest: Manifest) -> Report:
    """Check a manifest against itself, and against its corpus when that is at hand.

    Returns
    -------
    Report
        One check a line, in this order: manifest.json, every other file, the schema and order of the cells,
        the id, the counts, the cells of its parents where they lie beside it; then the corpus, every joinid
        in it, and composition, donors and diversity recomputed. Memory: some 60 bytes a cell of the corpus.
    """
    return Report(ref=manifest.ref, id=manifest.id, checks=tuple(_checks(manifest)))


def _checks(manifest: Manifest) -> Iterator[Check]:
    document = manifest.document
    yield _check_document(manifest)
    for name in document.files:
        yield _check_file(manifest, name)
    try:
        cells = manifest.held_cells
    except ManifestError as error:
        yield Check("cells", "failed", f"not read, nor anything checked that needs them: {error}")
        return
    yield Check("cells", "ok", f"{len(cells):,} distinct cells in order of source and soma_joinid")
    yield _compared(
        "id", "recomputed from the content", {"id": document.id}, {"id": document.content_id(cells.digest())}
    )
    yield _compared("counts", "cells, splits, sources", _recorded_counts(document), _counts(cells, document))
    yield from check_parents(manifest, cells)
    corpus = manifest.find_corpus()
    if corpus is None:
        yield Check(
            "corpus",
            "not checked",
            f"{document.corpus.name!r} ({document.corpus.id[:12]}) is not at hand: whether it holds every "
            "joinid, and composition, donors and diversity, could not be checked",
        )
        return
    yield from _check_against_corpus(document, cells, corpus)


def _check_document(manifest: Manifest) -> Check:
    data = read_file(manifest.folder, DOCUMENT_FILE)
    try:
        document = parse_document(data, where=DOCUMENT_FILE)
    except ManifestError as error:
        return Check(DOCUMENT_FILE, "failed", str(error))
    if data != document.to_bytes():
        return Check(
            DOCUMENT_FILE, "failed", "its bytes are not those that were written, though its content is"
        )
    return Check(DOCUMENT_FILE, "ok", f"format {document.format}, digest as recorded")


def _check_file(manifest: Manifest, name: str) -> Check:
    recorded = manifest.document.files[name]
    try:
        content = read_file(manifest.folder, name)
    except ManifestError as error:
        return Check(name, "failed", str(error))
    if len(content) != recorded.n_bytes:
        return Check(name, "failed", f"{len(content):,} bytes, recorded {recorded.n_bytes:,}")
    if file_digest_of(content) != recorded.sha256:
        return Check(name, "failed", "its sha256 is not the one recorded: it was changed or damaged")
    return Check(name, "ok", f"sha256 as recorded, {len(content):,} bytes")


def _check_against_corpus(document: ManifestDocument, cells: Cells, corpus: Corpus) -> Iterator[Check]:
    genes = corpus.genes()
    yield _compared(
        "corpus",
        f"{corpus.name}, {corpus.n_cells:,} cells, {genes.n_genes:,} genes",
        {"id": document.corpus.id, "cells": document.corpus.n_cells, "genes": document.genes.id},
        {"id": corpus.id, "cells": corpus.n_cells, "genes": genes.digest},
    )
    wanted = cells.census_joinids()
    rows = find_rows(corpus.joinids(), wanted)
    strangers = int((rows == ABSENT).sum())
    if strangers:
        first = wanted[rows == ABSENT][0]
        yield Check(
            "joinids", "failed", f"{strangers:,} of {len(wanted):,} are not in the corpus, first {first}"
        )
        return
    yield Check("joinids", "ok", f"all {len(wanted):,} in the corpus")
    sources = sources_at_hand(document, corpus)
    for record in document.spike_ins:
        yield _check_source(record, cells, corpus, sources.get(record.source))
    missing = [record for record in document.spike_ins if record.source not in sources]
    if missing:
        n = sum(record.n_cells for record in missing)
        yield Check("composition", "not checked", f"{n:,} cells are spike-ins, whose labels are not at hand")
        return
    yield _check_summary(document, cells, corpus, sources)


def _check_source(record: SpikeInRecord, cells: Cells, corpus: Corpus, source: Source | None) -> Check:
    """Check that a spike-in's cells are in its source, and that the source's file is what was registered."""
    name = f"source {record.source}"
    if source is None:
        return Check(
            name, "not checked", f"corpus {corpus.name!r} holds no source of fingerprint {record.id[:12]}"
        )
    rows = cells.soma_joinid[cells.rows_of(record.source)]
    if len(rows) and rows[-1] >= source.n_cells:
        return Check(name, "failed", f"row {rows[-1]:,} is beyond its {source.n_cells:,} cells")
    try:
        source.check_file(thorough=True)
        source.check_labels()
    except SourceError as error:
        return Check(name, "failed", str(error))
    return Check(name, "ok", f"{len(rows):,} of its {source.n_cells:,} cells, fingerprint as recorded")


def _check_summary(
    document: ManifestDocument, cells: Cells, corpus: Corpus, sources: Mapping[str, Source]
) -> Check:
    obs = read_obs(corpus, cells, [*COMPOSITION_COLUMNS, "donor_id"], sources=sources)
    found = summarise(obs.with_columns(cells.splits()))
    recorded = {column: held.model_dump() for column, held in document.diversity.items()}
    measured = {column: asdict(held) for column, held in found.diversity.items()}
    splits = document.splits
    # Manifests older than these records say nothing of them.
    is_recorded = splits.labels_outside_train is not None
    return _compared(
        "composition",
        "labels, donors and diversity recomputed",
        _flat(document.n_donors, document.composition, recorded)
        | (_flat_labels(splits.labels_in_one_split, splits.labels_outside_train) if is_recorded else {}),
        _flat(found.n_donors, found.composition, measured)
        | (_flat_labels(found.labels_in_one_split, found.labels_outside_train) if is_recorded else {}),
    )


def _counts(cells: Cells, document: ManifestDocument) -> dict[str, Any]:
    spike_ins = {f"cells of {name}": n for name, n in cells.sources.items() if name != CENSUS}
    return {
        "cells": len(cells),
        "cells of the census": cells.sources.get(CENSUS, 0),
        **{f"cells in {name}": n for name, n in cells.n_by_split.items()},
        **spike_ins,
    }


def _recorded_counts(document: ManifestDocument) -> dict[str, Any]:
    spike_ins = {f"cells of {spike_in.source}": spike_in.n_cells for spike_in in document.spike_ins}
    return {
        "cells": document.n_cells,
        "cells of the census": document.selection.n_cells,
        **{f"cells in {name}": document.splits.counts.get(name, 0) for name in SPLITS},
        **spike_ins,
    }


def _flat(
    n_donors: int, counts: Mapping[str, Mapping[str, int]], diversity: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return every number of a summary under a name of its own."""
    labels = {f"{column} {label!r}": n for column, held in counts.items() for label, n in held.items()}
    measures = {
        f"{name} of {column}": value for column, held in diversity.items() for name, value in held.items()
    }
    return {"donors": n_donors} | labels | measures


def _flat_labels(
    homes: Mapping[str, Mapping[str, str]], outside: Mapping[str, Mapping[str, int]] | None
) -> dict[str, Any]:
    """Return what is said of labels and splits, every item under a name of its own."""
    told = (("only split of", homes), ("cells outside train of", outside or {}))
    return {
        f"{name} {column} {label!r}": value
        for name, columns in told
        for column, held in columns.items()
        for label, value in held.items()
    }


def _compared(name: str, what: str, recorded: dict[str, Any], found: dict[str, Any]) -> Check:
    differing = [
        key for key in dict.fromkeys([*recorded, *found]) if not _same(recorded.get(key), found.get(key))
    ]
    if not differing:
        return Check(name, "ok", what)
    first = differing[0]
    more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
    return Check(
        name, "failed", f"{first} is recorded as {recorded.get(first)}, found {found.get(first)}{more}"
    )


def _same(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return a == b

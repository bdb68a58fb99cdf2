"""What a user of a manifest should be told about it, beyond the numbers that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.wording import counted

if TYPE_CHECKING:
    from curate.manifests.document import ManifestDocument

NAMED = 5
#: By how much the share of a split may miss its ratio before it is said, where whole units are split.
FAR = 0.05


def notices(document: ManifestDocument) -> list[str]:
    """Return the notices of a manifest, each one line; none when there is nothing to tell."""
    notes = document.selection.notes
    lines = [str(notes["notice"])] if "notice" in notes else []
    if isinstance(n := notes.get("n_constant_dimensions"), int) and n:
        constant = counted(n, "constant dimension")
        lines.append(f"the embedding has {constant}, which no box is cut by; look at what made it")
    return [*lines, *_spike_ins(document), *_outside_train(document), *_shares(document)]


def _spike_ins(document: ManifestDocument) -> list[str]:
    """Say which cells of sources could not be drawn, and which sources were not compared with the corpus."""
    lines = []
    for spike_in in document.spike_ins:
        taken = [
            f"{record.n_cells:,} by {record.reason}"
            + (f" with {record.parameters['with']}" if "with" in record.parameters else "")
            for record in document.exclusions
            if record.parameters.get("source") == spike_in.source and record.n_cells
        ]
        lines += _comparisons(document, spike_in.source)
        is_told = {
            record.parameters.get("with")
            for record in document.exclusions
            if record.parameters.get("source") == spike_in.source and "not_by" in record.parameters
        }
        if taken:
            lines.append(f"cells of source {spike_in.source} were left out of the draw: {', '.join(taken)}")
        if spike_in.parameters.get("compared_with_corpus") is False and None not in is_told:
            lines.append(
                f"source {spike_in.source} was not compared with the corpus, whose validation and test cells "
                f"it may hold; run `curate corpus compare-source {spike_in.source}` and build again"
            )
        unknown = spike_in.parameters.get("not_compared_with")
        if isinstance(unknown, list) and (left := [each for each in unknown if each not in is_told]):
            others = ", ".join(map(str, left))
            lines.append(
                f"source {spike_in.source} was not compared with source {others}, whose cells it may "
                f"hold; run `curate corpus compare-source {spike_in.source}` and build again"
            )
    return lines


def _comparisons(document: ManifestDocument, source: str) -> list[str]:
    """Say by which methods a source was not compared with the corpus or another, and what is undecided."""
    lines = []
    for record in document.exclusions:
        values = record.parameters
        if values.get("source") != source or not isinstance(values.get("by"), list):
            continue
        other = f"source {values['with']}" if "with" in values else "the corpus"
        if isinstance(not_by := values.get("not_by"), list):
            methods = ", ".join(map(str, not_by))
            lines.append(f"source {source} was not compared with {other} by {methods}: {values['why_not']}")
        if isinstance(n := values.get("n_undecided"), int):
            of = f"the smaller of {source} and {values['with']}" if "with" in values else f"source {source}"
            lines.append(
                f"{counted(n, 'cell')} of {of} detect too few shared genes to be compared with {other} by "
                "content: not found is not clean"
            )
    return lines


def _outside_train(document: ManifestDocument) -> list[str]:
    """Name the labels that the training cells lack."""
    lines = []
    for column, outside in (document.splits.labels_outside_train or {}).items():
        if not outside:
            continue
        named = ", ".join(f"{label} ({n:,})" for label, n in list(outside.items())[:NAMED])
        more = f" and {len(outside) - NAMED} more" if len(outside) > NAMED else ""
        verb = "is" if len(outside) == 1 else "are"
        lines.append(
            f"{counted(len(outside), column.replace('_', ' '))} ({counted(sum(outside.values()), 'cell')}) "
            f"{verb} in val or test but not in train: {named}{more}"
        )
    return lines


def _shares(document: ManifestDocument) -> list[str]:
    """Say where a split has no cell, or whole units brought the shares far from the ratios."""
    splits, n = document.splits, document.n_cells
    shares = {split: splits.counts.get(split, 0) / n for split in splits.ratios}
    empty = [split for split, ratio in splits.ratios.items() if ratio > 0 and shares[split] == 0]
    if empty:
        return [f"no cell is in {' or '.join(empty)}; ask for more cells, or split by another unit or seed"]
    is_far = any(abs(shares[split] - ratio) > FAR for split, ratio in splits.ratios.items())
    if splits.unit == "cell" or not is_far:
        return []
    found, wanted = (
        "/".join(f"{100 * each:.3g}" for each in held.values()) for held in (shares, splits.ratios)
    )
    return [f"whole units of {splits.unit} bring the splits to {found}, not {wanted}"]

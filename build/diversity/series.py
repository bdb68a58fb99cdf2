"""Which manifests are steps of one ladder or repeats of one draw: they differ in size and seed alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.build.strategies.written import is_parts, write_parts
from curate.documents import canonical_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.manifests.document import ManifestDocument


def name_series(documents: Sequence[ManifestDocument]) -> dict[str, str]:
    """Return the name of the series of each manifest, by its id.

    It is the strategy; where two series share one, what tells them apart is added.
    """
    described = {document.id: _description(document) for document in documents}
    by_strategy: dict[str, dict[str, dict[str, str]]] = {}
    for document in documents:
        description = described[document.id]
        digest = canonical_digest(description)
        by_strategy.setdefault(document.selection.strategy, {})[digest] = description
    return {
        document.id: _name(
            document.selection.strategy,
            described[document.id],
            list(by_strategy[document.selection.strategy].values()),
        )
        for document in documents
    }


def name_bases(documents: Sequence[ManifestDocument]) -> dict[str, str]:
    """Return the series that a spiked one is a variant of: the same but for what it was spiked with.

    Returns
    -------
    Names of series, by that of the spiked one; without those of which only the spiked are there.
    """
    names = name_series(documents)
    series = {canonical_digest(_whole(document)): names[document.id] for document in documents}
    bases = {}
    for document in documents:
        described = _whole(document)
        if described.pop("spike-in", None) and (base := series.get(canonical_digest(described))):
            bases[names[document.id]] = base
    return bases


def _whole(document: ManifestDocument) -> dict[str, str]:
    return _description(document) | {"strategy": document.selection.strategy}


def _name(strategy: str, description: dict[str, str], others: list[dict[str, str]]) -> str:
    keys = sorted({key for other in others for key in other})
    differing = [key for key in keys if len({other.get(key) for other in others}) > 1]
    told = [f"{key} {description[key]}" for key in differing if key in description]
    return f"{strategy} ({', '.join(told)})" if told else strategy


def _description(document: ManifestDocument) -> dict[str, str]:
    """Return what decides the cells of a manifest, but for size and seed."""
    selection, splits = document.selection, document.splits
    described = {f"{name}": _shown(value) for name, value in selection.parameters.items()}
    optional = {
        "corpus": document.corpus.name,
        "where": selection.where,
        "embedding": selection.embedding and selection.embedding[:8],
        "split by": splits.unit,
        "spike-in": ", ".join(
            f"{each.source} {each.fraction or each.n_cells:g}"
            + (" added" if each.mode == "add" else "")
            + (" balanced" if each.parameters.get("balance") == "perturbation" else "")
            for each in document.spike_ins
        ),
        # What is left out of sources goes with their spike-ins.
        "without": ", ".join(each.reason for each in document.exclusions if "source" not in each.parameters),
    }
    return described | {name: value for name, value in optional.items() if value}


def _shown(value: Any) -> str:
    if is_parts(value):
        return write_parts(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

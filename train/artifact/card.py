"""The model card: README.md in Markdown, facts only, each from run.json, the manifest or the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.build.composition import composition, n_donors
from curate.train.artifact.parts import absent_lines, parts_line
from curate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from curate.manifests.document import ManifestDocument
    from curate.train.artifact.document import RunDocument
    from curate.train.models.model import Model

N_LABELS = 10
#: The column that is compared with the corpus.
TYPES = "cell_type"
N_VALIDATIONS = 20
STOPPED = {
    "epochs": "the last epoch",
    "steps": "the budget of steps",
    "cells": "the budget of cells",
    "minutes": "the budget of minutes",
    "patience": "validations in a row without a better loss",
    "untrained": "none was asked for: an untrained control",
    "fitted": "the fit is complete",
    "checkpoint": "nothing: it was broken off, and its last checkpoint taken",
}


def card(
    name: str,
    document: RunDocument,
    manifest: ManifestDocument,
    kind: type[Model],
    metrics: pl.DataFrame,
    *,
    obs: pl.DataFrame,
    types: pl.DataFrame | None = None,
) -> str:
    """Return the model card of a trained model.

    Parameters
    ----------
    metrics
        The log of its training, as in `FitReport`.
    obs
        Of the training cells: COMPOSITION_COLUMNS and donor_id.
    types
        `value` and `n_cells` of TYPES in the whole corpus, the most first; None where it is not at hand.
    """
    parts = [
        _front_matter(name, document),
        f"# {name}\n\n{kind.summary}.".replace("..", "."),
        _what(document),
        _trained_on(document, manifest, obs),
        _left_out(manifest),
        _how(document),
        _validation(document, metrics) if _takes_steps(document) else "",
        _parts(document, kind, metrics),
        _limits(document, manifest, kind, _compared(obs, types)),
        _load(name, document),
        f"## Cite\n\n{kind.reference}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(name: str, document: RunDocument) -> str:
    return "\n".join(
        [
            "---",
            f"model_name: {name}",
            "library_name: curate",
            "tags:",
            "- biology",
            "- single-cell",
            f"- {document.model}",
            *(["- untrained"] if document.asked.is_untrained else []),
            "---",
        ]
    )


def _what(document: RunDocument) -> str:
    on, asked = document.trained_on, document.asked
    rows = {
        "model": f"{document.model}, preset {document.preset}",
        "id": document.id,
        "reads": f"raw counts of {on.n_genes:,} genes of {on.organism} (genes.parquet)",
        "gives": f"float32, {document.n_dims:,} dimensions a cell",
        "parameters": f"{document.n_parameters:,}" if document.n_parameters else "",
        "stores": "" if document.n_parameters else _stored(document),
        "manifest": f"{on.manifest_ref} ({asked.manifest})",
        "corpus": f"{on.corpus_name}, Census {on.release} ({on.corpus})",
        "seed": str(asked.seed),
        "made": f"{document.created:%Y-%m-%d %H:%M} UTC",
    }
    if document.task is not None:
        rows["task"] = f"{document.task.name}, {document.task.kind}: {', '.join(document.task.wanted)}"
        rows["ontology"] = f"Cell Ontology, release {document.ontology}" if document.ontology else ""
    return _facts({key: text for key, text in rows.items() if text})


def _stored(document: RunDocument) -> str:
    n = "" if document.n_numbers is None else f"{document.n_numbers:,} numbers, "
    return f"{n}found in passes over cells; none is trained by steps"


def _takes_steps(document: RunDocument) -> bool:
    return bool(document.n_parameters)


def _trained_on(document: RunDocument, manifest: ManifestDocument, obs: pl.DataFrame) -> str:
    on, chosen, splits = document.trained_on, manifest.selection, manifest.splits
    counts = ", ".join(f"{split} {n:,}" for split, n in on.n_cells.items())
    rows = {
        "cells": f"{counts}; {_read(document)}",
        "shards": _shards(document),
        "split by": f"{splits.unit}, {', '.join(f'{k} {v:g}' for k, v in splits.ratios.items())}",
        "donors of training cells": f"{n_donors(obs):,}" if len(obs) else "",
        "chosen by": f"{chosen.strategy} {_settings(chosen.parameters)}".strip(),
        "restricted to": chosen.where or "",
    }
    for spike_in in manifest.spike_ins:
        rows[f"spike-in {spike_in.source}"] = f"{counted(spike_in.n_cells, 'cell')}, {spike_in.mode}"
    lines = ["## Trained on", _facts({key: text for key, text in rows.items() if text})]
    if on.label:
        lines.insert(1, f"The store says of itself: {on.label}.")
    if len(obs):
        lines.append(f"The {counted(len(obs), 'training cell')}, by their labels:")
        found = composition(obs.select(list(manifest.composition)))
        lines += [_composition(column, labels, len(obs)) for column, labels in found.items()]
    return "\n\n".join(lines)


def _read(document: RunDocument) -> str:
    if document.asked.is_untrained:
        return "no weight is fitted to any"
    if not _takes_steps(document):
        return "it is fitted to train, nothing reads val and test"
    return "weights are fitted to train, validation reads val, nothing reads test"


def _shards(document: RunDocument) -> str:
    held = document.shards
    if held is None:
        return ""
    said = {
        "compared": "compared with their sha256 before",
        "written": "written by the same command",
        "no": "not compared with their sha256: nothing vouches for them",
    }
    return f"{said[held.checked]} (digest {held.digest})"


def _compared(obs: pl.DataFrame, types: pl.DataFrame | None) -> tuple[list[str], int] | None:
    """Return the labels of the corpus that training cells lack, the most frequent first, of how many."""
    if types is None or not len(obs):
        return None
    held = composition(obs.select(TYPES))[TYPES]
    names: list[str] = types["value"].drop_nulls().to_list()
    return [name for name in names if name not in held], len(names)


def _composition(column: str, labels: Mapping[str, int], n_cells: int) -> str:
    shown = list(labels.items())[:N_LABELS]
    rest = len(labels) - len(shown)
    head = f"| {column} ({len(labels):,}) | cells | share |\n|---|---:|---:|"
    rows = [f"| {_escaped(label)} | {n:,} | {n / max(1, n_cells):.1%} |" for label, n in shown]
    more = [f"| {rest:,} more | {sum(list(labels.values())[N_LABELS:]):,} | |"] if rest > 0 else []
    return "\n".join([head, *rows, *more])


def _left_out(manifest: ManifestDocument) -> str:
    if not manifest.exclusions:
        return "## Left out\n\nNo cells were left out of the corpus before the choice."
    rows = [
        f"| {_escaped(each.reason)} | {each.n_cells:,} | {_escaped(_settings(each.parameters))} |"
        for each in manifest.exclusions
    ]
    return "\n".join(["## Left out", "", "| reason | cells | settings |", "|---|---:|---|", *rows])


def _how(document: RunDocument) -> str:
    asked, cost, runs_on = document.asked, document.cost, document.environment
    budget = {key: value for key, value in asked.budget.model_dump().items() if value is not None}
    takes_steps = _takes_steps(document) and not asked.is_untrained
    without = "none: epochs and patience of the settings" if takes_steps else "none"
    rows = {
        "settings": _settings(asked.settings),
        "budget": _settings(budget) or without,
        "ended by": STOPPED[document.stopped],
        "broken off by": document.broken_off or "",
        "precision": asked.precision if takes_steps else "",
        "cells of a step": _batch(document),
        "devices": f"{asked.devices}" if takes_steps else "",
        "drawn by weight": "yes" if asked.is_weighted else "no",
        "steps": f"{cost.n_steps:,} in {counted(cost.n_epochs, 'epoch')}" if takes_steps else "",
        "cells seen": f"{cost.n_cells:,}",
        "seconds": f"{cost.seconds:,.1f}",
        "waiting for data": "" if cost.waiting_fraction is None else f"{cost.waiting_fraction:.1%}",
        "energy": "not measured" if cost.energy_joules is None else f"{cost.energy_joules:,.0f} J",
        "device": runs_on.gpu or f"{runs_on.processor}, {counted(runs_on.n_threads, 'thread')}",
        "software": _settings(runs_on.software),
    }
    return f"## How\n\n{_facts({key: text for key, text in rows.items() if text})}"


def _batch(document: RunDocument) -> str:
    """Return the size of a batch where the training cells are too few for that of the settings."""
    wanted, n_train = document.asked.settings.get("batch_size"), document.trained_on.n_cells.get("train", 0)
    if not document.cost.n_steps or wanted is None or n_train >= wanted:
        return ""
    return f"{n_train:,}: the training cells are fewer than the {wanted:,} of batch_size"


def _validation(document: RunDocument, metrics: pl.DataFrame) -> str:
    if document.best_loss is None:
        return "## Validation loss\n\nNone was computed."
    best = f"Best {document.best_loss:.6g}, at step {document.best_step:,}: these weights were kept."
    rows = [row for row in metrics.iter_rows(named=True) if row["split"] == "val" and row["metric"] == "loss"]
    if not rows:
        return f"## Validation loss\n\n{best}"
    every = -(-len(rows) // N_VALIDATIONS)
    shown = rows[::every] if (len(rows) - 1) % every == 0 else [*rows[::every], rows[-1]]
    table = [f"| {row['step']:,} | {row['n_cells']:,} | {row['value']:.6g} |" for row in shown]
    lines = ["## Validation loss", "", best, "", "| step | cells seen | loss |", "|---:|---:|---:|", *table]
    return "\n".join(lines)


def _parts(document: RunDocument, kind: type[Model], metrics: pl.DataFrame) -> str:
    """Return what the best validation measured beside the loss, and what of it no cell had."""
    parts = parts_line(metrics, document.best_step)
    lines = [f"At step {document.best_step:,} it also measured: {parts}."] if parts else []
    n_cells = min(document.asked.validation_cells, document.trained_on.n_cells.get("val", 0))
    lines += [f"{line[:1].upper()}{line[1:]}." for line in absent_lines(kind, metrics, n_cells=n_cells)]
    return "\n\n".join(lines)


def _limits(
    document: RunDocument,
    manifest: ManifestDocument,
    kind: type[Model],
    compared: tuple[list[str], int] | None,
) -> str:
    on, outside = document.trained_on, manifest.splits.labels_outside_train or {}
    kept = "; which weights were kept may follow from validation cells" if _takes_steps(document) else ""
    seen = (
        f"- Its weights have seen the training cells above and no others{kept}. What it does on other cells "
        "was not measured here."
    )
    if document.asked.is_untrained:
        known = f" It knows of its training cells: {kind.learns}." if kind.learns else ""
        seen = f"- It took no training step: a control to compare others with.{known}"
    lines = [
        f"- Reads raw counts of {on.organism} only, in the genes of genes.parquet; genes that data lack are "
        "taken as zero.",
        seen,
    ]
    if compared is not None:
        lacking, n = compared
        lines.append(
            f"- Training cells have {n - len(lacking):,} of the {n:,} labels of {TYPES} in the corpus"
            + (f"; they lack {_first(lacking)}." if lacking else ".")
        )
    lines += [
        f"- Of labels of {column} in validation or test cells, training cells lack {_first(list(labels))}."
        for column, labels in outside.items()
        if labels
    ]
    if on.label and "simulated" in on.label.casefold():
        lines.append("- Its cells are simulated.")
    return "\n".join(["## Limits", "", *lines])


def _first(labels: list[str]) -> str:
    more = len(labels) - N_LABELS
    return ", ".join(labels[:N_LABELS]) + (f" and {more:,} more" if more > 0 else "")


def _load(name: str, document: RunDocument) -> str:
    return f"""## Load

```
curate embed-cells {name} data.h5ad -o vectors.h5ad
```

```python
from curate.train.artifact import find_model

model = find_model("{name}").load()
vectors = model.embed(counts)  # CSR [n_cells, {document.trained_on.n_genes}], columns as model.genes
```

Opening the folder executes nothing of it."""


def _facts(rows: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {_escaped(text)} |" for key, text in rows.items())])


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return _joined(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _joined(values: Iterable[Any]) -> str:
    return " ".join(str(value) for value in values)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

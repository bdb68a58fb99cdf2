"""A model in a folder: JSON, safetensors and Parquet; nothing of it is executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from curate.atomic import atomic_file
from curate.documents import SealedDocument, file_digest, first_fault, is_as_sealed, read_header
from curate.errors import ModelError, WriteError
from curate.gene_space import GeneSpace
from curate.train.models import MODELS

if TYPE_CHECKING:
    from pathlib import Path

    from curate.train.models.model import Model

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.safetensors"
GENES_FILE = "genes.parquet"
AGAIN = "copy it again from where it came, or remove the folder and train it again"


class ModelDocument(SealedDocument):
    """The content of config.json, format 1.

    Attributes
    ----------
    model
        Its key in MODELS.
    settings, facts
        What its shapes follow from.
    genes
        Digest of the gene ids, in order.
    files
        sha256 by name.
    """

    format: Literal[1] = 1
    model: str
    settings: dict[str, Any]
    facts: dict[str, Any]
    genes: str
    n_genes: int = Field(ge=1)
    n_parameters: int = Field(ge=0)
    files: dict[str, str]


def save(model: Model, folder: Path) -> None:
    """Write a model into a folder that is there; see `Model.save`."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_file(folder / WEIGHTS_FILE) as aside:
        try:
            save_file(state, aside)
        except SafetensorError as fault:
            raise WriteError(f"could not write {folder / WEIGHTS_FILE}: {fault}") from None
    with atomic_file(folder / GENES_FILE) as aside:
        names = {"feature_id": model.genes.feature_ids, "feature_name": model.genes.feature_names}
        pl.DataFrame(names, schema=dict.fromkeys(names, pl.String)).write_parquet(aside)
    ModelDocument(
        model=model.name,
        settings=model.settings.model_dump(mode="json"),
        facts=model.facts.model_dump(mode="json"),
        genes=model.genes.digest,
        n_genes=model.genes.n_genes,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        files={name: file_digest(folder / name) for name in (WEIGHTS_FILE, GENES_FILE)},
    ).save(folder / CONFIG_FILE)


def load(folder: Path) -> Model:
    """Open a model; see `Model.load`."""
    path = folder / CONFIG_FILE
    header = read_header(
        path,
        ModelDocument,
        number=FORMAT,
        error=ModelError,
        noun="holds a model",
        absent=f"{folder} holds no model ({CONFIG_FILE}); train one with `curate train`",
        remedy=AGAIN,
    )
    if is_as_sealed(path) is False:
        raise ModelError(
            f"{path} has changed since it was written: its digest is another than it records; {AGAIN}"
        )
    for name, sha256 in header.files.items():
        if not (folder / name).is_file():
            raise ModelError(f"{folder / name} is missing; {AGAIN}")
        if file_digest(folder / name) != sha256:
            raise ModelError(
                f"{folder / name} ({(folder / name).stat().st_size:,} bytes) is not the file that was "
                f"written: another sha256 than recorded; {AGAIN}"
            )
    genes = GeneSpace.from_table(pl.read_parquet(folder / GENES_FILE))
    if genes.digest != header.genes:
        raise ModelError(f"{folder / GENES_FILE} does not hold the genes of the model; {AGAIN}")
    kind = MODELS[header.model]
    try:
        settings = next(iter(kind.presets.values())).model_validate(header.settings, strict=False)
        facts = kind.facts_type.model_validate(header.facts, strict=False)
    except ValidationError as fault:
        where, what = first_fault(fault)
        raise ModelError(f"{path} is damaged at {where}: {what}; {AGAIN}") from None
    with torch.random.fork_rng(devices=[]):
        model = kind(settings, genes, facts)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (SafetensorError, RuntimeError) as fault:
        raise ModelError(f"{folder / WEIGHTS_FILE} does not fit the model: {fault}; {AGAIN}") from None
    return model.eval()

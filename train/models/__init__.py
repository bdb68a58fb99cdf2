"""The models: one module each, one dict.

A model that is to be here is a subclass of `Model` (or of `Network`, when it is trained by gradients) and one
line in MODELS. Modules are imported when their model is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from curate.errors import ModelError
from curate.nearest import nearest

if TYPE_CHECKING:
    from curate.train.models.model import Model

__all__ = ["MODELS"]


class _Models(Mapping[str, "type[Model]"]):
    """Names of models, and their classes, imported when asked for."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> type[Model]:
        if name not in self._places:
            raise ModelError(f"no model named {name!r}; {nearest(name, self._places)}")
        module, _, attribute = self._places[name].partition(":")
        found: type[Model] = getattr(import_module(f"curate.train.models.{module}"), attribute)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places


MODELS: Mapping[str, type[Model]] = _Models(
    {
        "hvg": "hvg:Hvg",
        "pca": "pca:Pca",
        "scvi": "scvi:Scvi",
        "masked": "masked:Masked",
        "geneformer": "geneformer:Geneformer",
        "contrastive": "contrastive:Contrastive",
    }
)

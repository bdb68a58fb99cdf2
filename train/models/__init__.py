"""The models: one module each, one dict.

A model that is to be here is a subclass of `Model` (or of `Network`, when it is trained by gradients) and one
line in MODELS. Modules are imported when their model is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.errors import ModelError
from curate.lazy import Lazy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.train.models.model import Model

__all__ = ["MODELS"]

MODELS: Mapping[str, type[Model]] = Lazy(
    "model",
    {
        "hvg": "hvg:Hvg",
        "pca": "pca:Pca",
        "scvi": "scvi:Scvi",
        "masked": "masked:Masked",
        "geneformer": "geneformer:Geneformer",
        "contrastive": "contrastive:Contrastive",
    },
    package="curate.train.models",
    error=ModelError,
)

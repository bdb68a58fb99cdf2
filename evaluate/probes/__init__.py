"""Probes: simple classifiers on a frozen embedding, or on expression itself, one dict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from curate.evaluate.probes.probes import centroid, knn, logistic, logistic_on_genes, majority

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.evaluate.probes.probes import Guess

LOGISTIC_ON_GENES: Final = "logistic-on-genes"

PROBES: Final[dict[str, Callable[..., Guess]]] = {
    "knn": knn,
    "centroid": centroid,
    "logistic": logistic,
    LOGISTIC_ON_GENES: logistic_on_genes,
    "majority": majority,
}

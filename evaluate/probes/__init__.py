"""Probes: simple classifiers on a frozen embedding, one dict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from curate.evaluate.probes.probes import centroid, knn, logistic, majority

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.evaluate.probes.probes import Guess

PROBES: Final[dict[str, Callable[..., Guess]]] = {
    "knn": knn,
    "centroid": centroid,
    "logistic": logistic,
    "majority": majority,
}

"""The manifest format, its registry of versions, verify and diff.

>>> from curate.manifests import Manifest
>>> Manifest.load("sketch-0.01-s0").cells()  # doctest: +SKIP
"""

from curate.manifests.manifest import Manifest
from curate.manifests.registry import Registry

__all__ = ["Manifest", "Registry"]

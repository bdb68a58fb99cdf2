"""A package, so that the `tests` which a dependency may have installed is not taken for this folder."""

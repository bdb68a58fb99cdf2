"""Simulated data that look like the real thing: a small human atlas and a Perturb-seq screen."""

from __future__ import annotations

from curate.simulate.atlas import simulate_atlas
from curate.simulate.screen import simulate_screen

__all__ = ["simulate_atlas", "simulate_screen"]

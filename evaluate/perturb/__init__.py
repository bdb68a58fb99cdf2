"""Perturbations: what may be learned from, what is held out, and who predicts it."""

"""Sweeps: subsets x models x evaluations, planned before they run, killed and resumed."""

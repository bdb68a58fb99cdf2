"""Passes over the counts of cells: what is read, in which order, and who works on it."""

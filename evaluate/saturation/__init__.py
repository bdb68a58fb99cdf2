"""Saturation: where more data stops paying, and how sure the runs can be of it."""

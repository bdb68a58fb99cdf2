"""Cells of any data as a trained model sees them."""

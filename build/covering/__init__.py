"""The covering of geometric sketching, and draws from its boxes."""

"""The manifest format, its registry of versions, verify and diff."""

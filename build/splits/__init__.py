"""Train, val and test: by cell, or by units that stay together."""

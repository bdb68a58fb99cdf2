"""Near-duplicates in an embedding: cells to leave out before a strategy chooses."""

"""Strategies beside each other on one corpus: what each chooses, what it takes, how much they agree."""

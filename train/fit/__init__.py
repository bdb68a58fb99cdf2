"""Training: budgets, the trainer, its log and its checkpoints."""

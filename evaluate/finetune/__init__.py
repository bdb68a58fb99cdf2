"""Fine-tuning: a head on frozen vectors of cells, or a whole network with its head."""

"""What the metrics of integration are made of: cells, distances, graphs, controls."""

"""Ways to choose cells; STRATEGIES names them all."""

"""How diverse sets of cells are: by labels, by vectors, beside their corpus."""

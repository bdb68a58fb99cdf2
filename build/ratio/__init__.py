"""How much likelier a cell is under a reference than under the corpus: density ratios in an embedding."""

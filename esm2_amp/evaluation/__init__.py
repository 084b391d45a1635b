"""How good a prediction is, and how good a trivial one would be."""

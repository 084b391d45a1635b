"""Searches among embeddings: the nearest proteins, the closest pairs, analogies."""

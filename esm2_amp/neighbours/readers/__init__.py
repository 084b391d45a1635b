"""Readers of embeddings as they lie in files: each gives the ids first, then the vectors in the same order."""

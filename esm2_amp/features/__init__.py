"""Amino acids become numbers: encoder, pooling, feature store."""

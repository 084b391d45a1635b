"""Screening: every pair of many proteins, and the network of the best."""

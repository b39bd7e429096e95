"""Similarity search: bit-sliced fingerprints, nearest neighbors, power means and top-k."""

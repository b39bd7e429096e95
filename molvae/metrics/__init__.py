"""Metrics of generated molecules: per molecule, of a set (MOSES, GuacaMol, FCD), and of analogs per seed."""

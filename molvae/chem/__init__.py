"""Molecules with RDKit: SMILES, tokens, graphs, fingerprints, properties, filters and scaffolds."""

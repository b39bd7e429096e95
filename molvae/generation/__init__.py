"""Generation of molecules: decoding, sampling around seeds, similarity targets, constraints and latent inversion."""

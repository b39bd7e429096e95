"""Neural networks: graph encoders, latent distributions, SMILES decoders, priors, and inference."""

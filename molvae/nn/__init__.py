"""Neural networks: graph encoders, latent distributions, SMILES decoders, priors, and how they are run."""

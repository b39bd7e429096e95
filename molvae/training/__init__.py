"""Training of autoencoders: configuration, data, training loop, checkpoints, policy gradients and learned priors."""

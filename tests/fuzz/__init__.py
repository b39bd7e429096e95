"""Fuzzing: mutated inputs through the package; every target reports what it found. See `fuzz.targets`."""

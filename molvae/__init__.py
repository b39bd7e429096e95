"""molvae: one molecule in, hundreds of valid, distinct, ranked analogs out."""

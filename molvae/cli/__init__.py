"""The command line: one command per file, each a thin door to one Python method.

Nothing here imports torch, pandas or RDKit at its top: `molvae --help` must not wait for them.
"""

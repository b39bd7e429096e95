"""The command line. Each command parses its options and calls one Python function.

No module here imports torch, pandas or RDKit at import time, so that `molvae --help` starts quickly.
"""

"""Data: readers of molecule files, datasets, packed graphs, similar molecules, worker processes."""

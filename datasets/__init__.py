"""Recipes of public datasets (one JSON file each) and a small sample library; packaged as `molvae.datasets`."""

"""Drawings of molecules, charts, HTML pages, and displays in notebooks."""

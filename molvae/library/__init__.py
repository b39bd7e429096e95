"""Indexed libraries of molecules on disk: building, storage, and nearest-neighbor search."""

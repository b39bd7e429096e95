"""Synthesis: reactions as templates, routes to building blocks, and stocks of building blocks."""

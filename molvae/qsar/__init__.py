"""Models of measured properties (QSAR): fitted to a table of molecules, validated, stored and loaded."""

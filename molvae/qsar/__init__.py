"""Models of measured properties (QSAR): fitting, validation, storage and prediction."""

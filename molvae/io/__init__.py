"""Output files: tables in several formats, and partial results of long runs."""

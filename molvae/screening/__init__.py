"""Screening of molecule files in one pass: filters, scores and a ranked shortlist, on one machine or on Ray."""

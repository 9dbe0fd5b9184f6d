"""Batches: the rows of a table as videos, and as plans."""

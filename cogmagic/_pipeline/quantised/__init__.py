"""Quantised components."""

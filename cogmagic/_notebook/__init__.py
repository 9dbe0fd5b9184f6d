"""Jupyter: the magics and the panel."""

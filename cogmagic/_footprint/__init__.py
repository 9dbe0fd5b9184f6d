"""Bytes and operations that a request needs, phase by phase."""

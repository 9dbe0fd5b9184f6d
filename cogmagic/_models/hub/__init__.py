"""Hugging Face hub: downloads and its cache on disk."""

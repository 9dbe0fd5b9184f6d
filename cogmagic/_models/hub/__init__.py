"""Hugging Face hub: downloads and the cache."""

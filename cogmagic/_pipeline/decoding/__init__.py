"""Decoding with fewer tensors alive (lean), and with fewer passes over memory (fast)."""

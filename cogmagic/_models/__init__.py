"""Models of the family, requests to them, and their checkpoints."""

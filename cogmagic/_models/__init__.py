"""Which models there are, what may be asked of them, and where their files are."""

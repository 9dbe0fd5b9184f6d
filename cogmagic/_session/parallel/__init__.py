"""One video made by several worker processes, which the kernel owns."""

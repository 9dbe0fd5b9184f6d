"""What this machine has: GPUs, host memory, how fast they are, and what past runs took."""

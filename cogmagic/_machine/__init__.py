"""The machine: GPUs, host memory, their speed, and the history of runs."""

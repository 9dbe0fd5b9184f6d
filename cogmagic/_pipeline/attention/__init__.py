"""Attention kernels: faster implementations of the transformer's attention, one file each."""

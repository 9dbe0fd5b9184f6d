"""LoRA adapters: their files, read by the header, and their layers in diffusers' names."""

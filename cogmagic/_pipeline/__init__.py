"""The diffusers pipeline: loading it, running it, and variants of it that need less."""

"""The diffusers pipeline: loading it, running it, and its cheaper or faster variants."""

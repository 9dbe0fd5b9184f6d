"""The magics and the panel: everything that knows Jupyter."""

"""The checks of a machine: each ok, a warning or a failure, with how to fix it."""

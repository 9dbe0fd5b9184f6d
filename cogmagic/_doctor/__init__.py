"""The checks of a machine: each ok, a warning or a failure, with what mends it."""

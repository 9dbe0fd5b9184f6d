"""The verbs, by the same names and options everywhere."""

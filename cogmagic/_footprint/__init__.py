"""How many bytes and operations a request needs, phase by phase."""

"""Which tier a request gets on a machine, and why."""

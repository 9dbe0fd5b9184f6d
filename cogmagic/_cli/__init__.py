"""The command line: `cogmagic COMMAND`, thin over the verbs of `_api` and their options."""

"""The options of every interface: one table, and the parser of a line with them."""

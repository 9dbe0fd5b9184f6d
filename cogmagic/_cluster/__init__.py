"""A Ray cluster that makes the rows of batches, each GPU a video of its own."""

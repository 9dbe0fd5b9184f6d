"""The formats of a video's file: one module a format, and the registry by suffix."""

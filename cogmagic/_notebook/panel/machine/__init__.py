"""The panel's machine: readings of its memory, and plans made again where they change."""

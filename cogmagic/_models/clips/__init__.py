"""Clips from a user: files, pictures in a folder, frames in memory, and earlier videos."""

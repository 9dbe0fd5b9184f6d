"""Masks from a user: which part of a video is made new, and of which kind it is for VOID."""

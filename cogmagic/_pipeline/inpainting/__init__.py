"""Inpainting with CogVideoX-Fun and VOID."""

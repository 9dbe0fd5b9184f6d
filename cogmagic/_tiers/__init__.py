"""Tiers: where components are while a video is made; what that needs, and doing it."""

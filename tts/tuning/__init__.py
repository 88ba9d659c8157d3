"""Tuning on the user's own workload: the engine's settings, and how tokens are drawn.

Knows nothing of Hydra. What is tried, and when a search ends, is decided by pure functions; the
engine's knobs are measured with engines in processes of their own.
"""

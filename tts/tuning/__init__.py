"""Tuning on the user's own workload: the engine's settings, and how tokens are drawn.

Knows nothing of Hydra. The engine's knobs (`search` and what it uses) are measured with engines in
processes of their own; what is searched and when a search ends is decided by pure functions.
"""

"""Where people already evaluate and look: harnesses, experiment trackers, traces.

Each module needs a library that is not installed by default, and is imported by itself; this one
imports none of them.
"""

"""Servers for tests: a scripted one that fails on demand, and the real one."""

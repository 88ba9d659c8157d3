"""The engine's settings that suit a workload, by measuring."""

"""The suite itself: side by side, tests that share an engine share a worker."""

from __future__ import annotations


def test_tests_of_a_group_stay_together(request):
    grouped = getattr(request.config.option, "loadgroup", False)  # known to workers only
    assert request.node.nodeid.endswith(f"@{request.node.path}") or not grouped

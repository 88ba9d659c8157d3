"""What tests of foreign code share."""

from __future__ import annotations

import pytest

from tts.sandbox import Limits, Sandbox, fault_of_machine

FAULT = fault_of_machine()
needs_sandbox = pytest.mark.skipif(FAULT is not None, reason=f"no sandbox here: {FAULT}")
PATIENT = Limits(seconds=60)


async def shell(script, limits=PATIENT, **how):
    """What comes of a shell script in a sandbox."""
    return await Sandbox(limits, **how).run(["sh", "-c", script])

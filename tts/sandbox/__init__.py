"""A sandbox for foreign code: commands and Python programs behind walls, with limits.

Knows nothing of problems, models and answers. Where it does not work, nothing is run.
"""

from tts.sandbox.limits import Limits, Outcome, Reason
from tts.sandbox.sandbox import Sandbox, fault_of_machine, is_inside

__all__ = ["Limits", "Outcome", "Reason", "Sandbox", "fault_of_machine", "is_inside"]

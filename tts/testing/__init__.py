"""Contract tests for backends, verifiers, strategies, controllers and watchers, for anyone to run.

Each check raises `ContractError` with one sentence that names the broken promise. They need no
test framework: `await check_strategy(MyStrategy())`.
"""

from tts.testing.backends import check_backend
from tts.testing.controllers import check_controller
from tts.testing.strategies import check_strategy
from tts.testing.verifiers import FreeContext, check_verifier
from tts.testing.watchers import check_watcher
from tts.testing.worlds import LengthVerifier, World

__all__ = [
    "FreeContext",
    "LengthVerifier",
    "World",
    "check_backend",
    "check_controller",
    "check_strategy",
    "check_verifier",
    "check_watcher",
]

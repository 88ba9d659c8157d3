"""The exception tree: each error knows whether a retry makes sense and what to do about it.

Bad input derives from `ConfigError` and is raised before any compute is spent; a fault of a
component derives from `BackendError`, `VerifierError`, `GradingError` or `SandboxError`.
`BudgetExhausted` is not a fault: strategies may catch it, and `tts.solve` turns it into the best
answer so far.
"""

from __future__ import annotations


class TTSError(Exception):
    """Base of every error that `tts` raises on purpose.

    Args:
        message: One sentence that names what is wrong.
        hint: One sentence that names the way out; empty if there is none.
    """

    retryable = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling; errors cross processes.
        return _rebuild, (type(self), self.message, self.hint), self.__dict__


def _rebuild(cls: type[TTSError], message: str, hint: str) -> TTSError:
    return cls(message, hint=hint)


class ConfigError(TTSError):
    """A field of the configuration, or an argument, cannot be used."""


class ModelNotFound(ConfigError):
    """A model name or path leads to no model."""


class ContextTooLong(ConfigError):
    """A prompt, or a prompt with its answer, does not fit the model's context."""


class Unsupported(ConfigError):
    """The machine, or the engine on it, cannot do what is asked (a data type, a quantisation)."""


class CapabilityMissing(ConfigError):
    """A strategy or verifier needs what the backend lacks."""


class BudgetExhausted(TTSError):
    """The pot cannot pay for this request. `limit` names the field of the budget that ran out."""

    def __init__(self, message: str, *, hint: str = "", limit: str = "") -> None:
        super().__init__(message, hint=hint)
        self.limit = limit


class BackendError(TTSError):
    """A backend failed while it worked for us."""

    retryable = True


class EngineDead(BackendError):
    """The decoding engine's process has died; requests in flight are lost."""


class EngineStartFailed(BackendError):
    """The decoding engine did not come up."""

    retryable = False


class EndpointDown(BackendError):
    """A server refuses all further requests, or has not answered for longer than is patient."""

    retryable = False


class ReplayMiss(BackendError):
    """A replay cache that may ask nobody lacks what was asked of it."""

    retryable = False


class VerifierError(TTSError):
    """A verifier failed, or broke its contract."""


class GradingError(TTSError):
    """An answer could not be graded (a crash of the grader; a time-out is just 'not equal')."""


class SandboxError(TTSError):
    """The sandbox for foreign code did not work; what the code does in it is no error."""


class StrategyError(TTSError):
    """A strategy broke its contract."""


class ContractError(TTSError, AssertionError):
    """A contract test of `tts.testing` found a broken promise."""

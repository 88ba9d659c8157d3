"""Verifiers: what says how good an answer looks."""

from tts.verifiers.likelihood import Likelihood

__all__ = ["Likelihood"]

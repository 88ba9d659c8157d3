"""Verifiers: what says how good an answer looks."""

from tts.verifiers.grade import Grade
from tts.verifiers.likelihood import Likelihood
from tts.verifiers.prm import PRM

__all__ = ["PRM", "Grade", "Likelihood"]

"""Verifiers: what says how good an answer looks."""

from tts.verifiers.backward import Backward
from tts.verifiers.cached import Cached
from tts.verifiers.calibrated import Calibrated, Calibration
from tts.verifiers.cascade import Cascade
from tts.verifiers.combine import Mean, Minimum, Product, Weighted
from tts.verifiers.command import Command
from tts.verifiers.confidence import Confidence
from tts.verifiers.generative import Generative
from tts.verifiers.judge import Judge
from tts.verifiers.likelihood import Likelihood
from tts.verifiers.prm import PRM
from tts.verifiers.probe import Probe
from tts.verifiers.program_agreement import ProgramAgreement
from tts.verifiers.program_tests import ProgramTests
from tts.verifiers.rules import Arithmetic, HasAnswer, Pattern
from tts.verifiers.tournament import Tournament

__all__ = [
    "PRM",
    "Arithmetic",
    "Backward",
    "Cached",
    "Calibrated",
    "Calibration",
    "Cascade",
    "Command",
    "Confidence",
    "Generative",
    "HasAnswer",
    "Judge",
    "Likelihood",
    "Mean",
    "Minimum",
    "Pattern",
    "Probe",
    "Product",
    "ProgramAgreement",
    "ProgramTests",
    "Tournament",
    "Weighted",
]

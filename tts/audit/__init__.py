"""Audits: does a candidate behave as a reference does? Token-DiFR, by what the reference reads."""

from tts.audit.auc import auc
from tts.audit.audit import Audit, Side, Step, audit
from tts.audit.collect import Plan, Reference, Written, reread, write
from tts.audit.margins import CAP, Reading, explained, read_margins
from tts.audit.runs import written_in
from tts.audit.verdict import LENGTHS, Point, Verdict, judge, points, sequences

__all__ = [
    "CAP",
    "LENGTHS",
    "Audit",
    "Plan",
    "Point",
    "Reading",
    "Reference",
    "Side",
    "Step",
    "Verdict",
    "Written",
    "auc",
    "audit",
    "explained",
    "judge",
    "points",
    "read_margins",
    "reread",
    "sequences",
    "write",
    "written_in",
]

"""Structures in vLLM's words, and the refusals that all backends share.

Pure. A grammar begins anew with each request, so a piece of an answer cannot be held to one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any

from tts.errors import CapabilityMissing, ConfigError
from tts.types import Capability, Request, Structure


def refuse_structure(request: Request, capabilities: Set[Capability], name: str) -> None:
    """Refuse a structured request where a backend has no grammars, or where none would hold.

    Raises:
        CapabilityMissing: `structured` is not among the `capabilities` of the backend `name`.
        ConfigError: The request continues an answer, or has stop strings.
    """
    if request.structure is None:
        return
    if Capability.STRUCTURED not in capabilities:
        raise lacking(name)
    if request.trajectory.segment is not None:
        raise ConfigError(
            f"Problem {request.problem.id!r}: a structured answer is to be continued, and the"
            " grammar that holds it would begin anew.",
            hint="Draw structured answers whole.",
        )
    if request.stop:
        raise ConfigError(
            f"Problem {request.problem.id!r}: a structured answer ends where its structure does,"
            " and stop strings were given.",
            hint="Leave out stop, or the structure.",
        )


def lacking(name: str) -> CapabilityMissing:
    """That a backend has no grammars."""
    return CapabilityMissing(
        f"The answer is to have a structure, and {name} cannot hold a model to one.",
        hint="Take the bundled engine (backend=vllm) or a vLLM server, or leave out the structure.",
    )


def in_words(structure: Structure) -> dict[str, Any]:
    """The one field of vLLM's `StructuredOutputsParams` that says it.

    Raises:
        ConfigError: A grammar in Lark's notation is to begin behind other text.
    """
    (kind,) = structure.kinds
    if structure.after:
        free = {"type": "tag", "begin": "", "content": {"type": "any_text"}, "end": structure.after}
        whole = {"type": "sequence", "elements": [free, _format(structure)]}
        return {"structural_tag": json.dumps({"type": "structural_tag", "format": whole})}
    if kind == "json_schema":
        return {"json": dict(structure.json_schema or {})}
    return {kind: list(structure.choice) if kind == "choice" else getattr(structure, kind)}


def _format(structure: Structure) -> Mapping[str, Any]:
    """What follows other text, as a part of one of xgrammar's structural tags."""
    if structure.json_schema is not None:
        return {"type": "json_schema", "json_schema": dict(structure.json_schema)}
    if structure.regex is not None:
        return {"type": "regex", "pattern": structure.regex}
    if structure.choice:
        texts = [{"type": "const_string", "value": text} for text in structure.choice]
        return {"type": "or", "elements": texts}
    if "::=" not in (structure.grammar or ""):
        raise ConfigError(
            "structure.grammar is in Lark's notation, and structure.after lets it begin behind"
            " other text, which only a grammar in EBNF can.",
            hint="Write the rules with ::=, the first of them as root.",
        )
    return {"type": "grammar", "grammar": structure.grammar}

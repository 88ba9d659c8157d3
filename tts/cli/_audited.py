"""`tts audit`: reference, candidate and plan of an audit, made of the command line's words."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tts.errors import CapabilityMissing, ConfigError

if TYPE_CHECKING:
    from tts.audit import Plan, Reference, Written
    from tts.protocols import Backend
    from tts.types import Problem, Sampling

USUAL_TOP = 20
"""Likeliest tokens that an engine tells of unless it is told otherwise when it starts."""


@dataclass(frozen=True)
class Made:
    """What an audit needs; nothing has been started.

    Attributes:
        reference: Reads.
        candidate: Writes; None where a run has written.
        texts: Of the run; empty otherwise.
        plan: What is compared.
        names: Of the candidate and the reference.
    """

    reference: Reference
    candidate: Backend | None
    texts: Sequence[Written]
    plan: Plan
    names: tuple[str, str]


def of_candidate(options: argparse.Namespace) -> Made:
    """An audit of two configurations.

    Args:
        options: As parsed, with `candidate`.

    Raises:
        ConfigError: A configuration cannot be used, or they do not fit each other.
    """
    common = options.overrides
    changed = {_key(word) for word in options.candidate}
    theirs = [*(word for word in common if _key(word) not in changed), *options.candidate]
    ours = _composed([*common, *_telling(options.top)], options.config_dir)
    other = _composed(theirs, options.config_dir)
    if (ours["task"], ours["model"]["sampling"]) != (other["task"], other["model"]["sampling"]):
        raise ConfigError(
            "Reference and candidate would answer other problems, or draw otherwise.",
            hint="Give task.* and model.sampling.* before --candidate; they hold for both.",
        )
    sampling = _sampling(ours["model"])
    plan = _plan(options, ours, sampling)
    reference, candidate = _reading(_backend(ours)), _backend(other)
    names = " ".join(options.candidate), reference.model.name
    return Made(reference, candidate, (), plan, names)


def of_run(options: argparse.Namespace) -> Made:
    """An audit of a run's texts.

    Args:
        options: As parsed, with `run`.

    Raises:
        ConfigError: The run cannot be used, or the reference cannot read.
    """
    from tts.audit import written_in
    from tts.cli.adjust import adjusted

    parts = ("task", "model", "backend")
    words = [*options.overrides, *_telling(options.top)]
    config = adjusted(options.run, words, options.config_dir, parts)
    arm, sampling = _drawn(options)
    plan = _plan(options, config, sampling)
    problems = {problem.id: problem for problem in plan.problems}
    texts = written_in(options.run, arm, problems, sampling)
    reference = _reading(_backend(config))
    return Made(reference, None, texts, plan, (f"{options.run} {arm}", reference.model.name))


def _drawn(options: argparse.Namespace) -> tuple[str, Sampling]:
    """The arm of a run, and how its tokens were drawn."""
    from tts.cli._recorded import nodes, read_config
    from tts.cli.compose import composer
    from tts.evaluation.chains import kept

    records, _ = kept(options.run, options.arm)
    labels = list(dict.fromkeys(record.arm for record in records))
    if len(labels) > 1:
        raise ConfigError(
            f"{options.run} has several arms, and each draws in its own way.",
            hint=f"Name one with --arm: {', '.join(labels)}.",
        )
    config = read_config(options.run)
    with composer(options.config_dir) as known:
        models = dict(nodes(known, config, labels, "model"))
        strategies = dict(nodes(known, config, labels, "strategy"))
    sampling = _sampling(models.get(labels[0], config["model"]))
    greedy = strategies.get(labels[0], {}).get("_target_", "").endswith(".Greedy")
    return labels[0], sampling.greedy() if greedy else sampling


def _composed(words: Sequence[str], config_dir: Path | None) -> Mapping[str, Any]:
    from tts.cli.arguments import Arguments
    from tts.cli.jobs import compose_jobs

    jobs = compose_jobs(Arguments(tuple(words), config_dir=config_dir))
    if len(jobs) > 1 or len(jobs[0].arms) > 1:
        raise ConfigError(
            "There are several arms, and an audit compares two configurations.",
            hint="Leave the arms of an experiment out with arms=null.",
        )
    return jobs[0].arms[0].config


def _telling(top: int) -> list[str]:
    """An engine tells of so many tokens only if it was told to when it started."""
    return [f"model.engine.max_logprobs={top}"] if top > USUAL_TOP else []


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _backend(config: Mapping[str, Any]) -> Backend:
    from tts.cli.build import build

    found: Backend = build("backend", config["backend"])
    return found


def _reading(backend: Backend) -> Reference:
    from tts.protocols import Reads

    if not isinstance(backend, Reads):
        raise CapabilityMissing(
            f"{backend.model.name} is on a backend that cannot read given texts, as a reference"
            " must.",
            hint="Put the reference on the bundled engine (backend=vllm), and the other behind"
            " --candidate.",
        )
    return cast("Reference", backend)


def _sampling(model: Mapping[str, Any]) -> Sampling:
    from tts.cli.build import build

    node = {"_target_": "tts.types.Sampling", **model["sampling"]}
    found: Sampling = build("model.sampling", node)
    return found


def _plan(options: argparse.Namespace, config: Mapping[str, Any], sampling: Sampling) -> Plan:
    from tts.audit import Plan
    from tts.cli.build import build

    task = build("task", config["task"])
    problems: list[Problem] = [item.problem for item in task]
    return Plan(
        problems,
        sampling,
        task.max_tokens,
        options.sequences,
        options.tokens,
        options.top,
        options.seed,
    )

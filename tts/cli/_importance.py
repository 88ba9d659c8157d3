"""`tts analyse --importance`: what the steps of chains did, as a model finds it that reads them."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from tts.errors import CapabilityMissing, ConfigError
from tts.types import Usage

if TYPE_CHECKING:
    from tts.analysis import Reader
    from tts.analysis.perplexity import Phrasing
    from tts.analysis.reading import Kind
    from tts.evaluation.step_importance import Effect, Sampled, Weighed
    from tts.protocols import Backend, Reads
    from tts.types import Problem

    class ReadingBackend(Backend, Reads, Protocol):
        """A backend that reads."""


_OPTIONS = ("limit", "seed", "phrasing", "steps", "config_dir")
_LIMIT = 50
_KINDS: tuple[Kind, ...] = ("plain", "recheck", "change")


@dataclass(frozen=True)
class Plan:
    """What is to be weighed, and by whom; all that can be refused has been.

    Attributes:
        folder: Of the run.
        backend: Reads; not started yet.
        chains: That were drawn.
        problems: By id.
        phrasings: How an answer is put, at least one.
        spared: Phrasings that the model has no tokens for.
        steps: Kinds of steps that are weighed.
    """

    folder: Path
    backend: ReadingBackend
    chains: Sequence[Sampled]
    problems: Mapping[str, Problem]
    phrasings: Sequence[Phrasing]
    spared: int
    steps: Sequence[Kind]


def add_importance(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("the importance of steps")
    group.add_argument(
        "--importance", action="store_true",
        help="also have a model read a sample of chains: how much less likely is the answer"
        " without a step (PIR)? It is the run's own model, unless an OVERRIDE names another"
        " (model=...); it must be on the bundled engine",
    )  # fmt: skip
    group.add_argument(
        "overrides", metavar="OVERRIDE", nargs="*", help="of model, backend and task"
    )
    group.add_argument(
        "--limit", type=int, metavar="N", help=f"most problems, one chain an arm each ({_LIMIT})"
    )
    group.add_argument("--seed", type=int, metavar="N", help="of the sample (0)")
    group.add_argument(
        "--steps", type=_kinds, metavar="KIND,KIND",
        help=f"kinds of steps that are weighed ({','.join(_KINDS)}); plain ones are the control",
    )  # fmt: skip
    group.add_argument(
        "--phrasing", action="append", metavar="TEXT",
        help="how the answer is put, with {answer} in it, and \\n for a line's end; may be given"
        " several times (the run's thinking.lead, and two sentences)",
    )  # fmt: skip
    group.add_argument("--config-dir", type=Path, metavar="DIR", help="further configurations")


def check_importance(asked: argparse.Namespace) -> None:
    """Refuse options that cannot be used.

    Raises:
        ConfigError: There are such.
    """
    if not asked.importance:
        given = [name for name in _OPTIONS if getattr(asked, name) is not None]
        words = [*asked.overrides, *(f"--{name.replace('_', '-')}" for name in given)]
        if words:
            raise ConfigError(
                f"{words[0]} says nothing without --importance.", hint="Add --importance."
            )
    if asked.limit is not None and asked.limit < 1:
        raise ConfigError(f"--limit is {asked.limit}; it must be at least 1.")


def plan(asked: argparse.Namespace, reader: Reader) -> Plan:
    """Make what is needed, and draw the chains.

    Args:
        asked: The command line.
        reader: Takes chains apart.

    Raises:
        ConfigError: The model cannot read, the task lacks a problem, or something else.
    """
    from tts.cli.adjust import adjusted
    from tts.cli.build import build
    from tts.evaluation.step_importance import sampled

    overrides = _on_the_engine(asked.overrides)
    config = adjusted(asked.folder, overrides, asked.config_dir, ("task", "model", "backend"))
    chains = sampled(asked.folder, asked.limit or _LIMIT, asked.seed or 0, asked.arm)
    problems = {item.problem.id: item.problem for item in build("task", config["task"])}
    for chain in chains:
        if chain.problem_id not in problems:
            raise ConfigError(
                f"The task has no problem {chain.problem_id!r}, which {asked.folder} holds chains"
                " of.",
                hint="Choose the task, and the part of it, that was run.",
            )
    backend = _reading(build("backend", config["backend"]))
    phrasings, spared = _phrasings(backend, reader, asked.phrasing)
    steps = asked.steps or _KINDS
    return Plan(asked.folder, backend, chains, problems, phrasings, spared, steps)


def _on_the_engine(overrides: Sequence[str]) -> list[str]:
    """A model that is named goes on the bundled engine, unless a backend is named as well."""
    named = {each.lstrip("+").partition("=")[0].partition(".")[0] for each in overrides}
    alone = "model" in named and "backend" not in named
    return [*overrides, *(["backend=vllm"] if alone else [])]


def _reading(backend: Backend) -> ReadingBackend:
    from tts.protocols import Reads

    if not isinstance(backend, Reads):
        raise CapabilityMissing(
            f"{backend.model.name} is on a backend that cannot read given texts, which"
            " --importance needs.",
            hint="Name the model for the bundled engine: model=...",
        )
    return cast("ReadingBackend", backend)


def _phrasings(
    backend: ReadingBackend, reader: Reader, given: Sequence[str] | None
) -> tuple[list[Phrasing], int]:
    """Those that the model can write, and the number of the others."""
    from tts.analysis.perplexity import Phrasing, usual

    told = given and [template.replace("\\n", "\n") for template in given]
    every = [Phrasing.of(template) for template in told or usual(reader.thinking)]
    spelt = [p for p in every if backend.spells(p.before) and backend.spells(p.after)]
    if not spelt or (told and len(spelt) < len(every)):
        raise ConfigError(
            f"{backend.model.name} has no tokens for a phrasing of the answer.",
            hint="Write another with --phrasing, in words that the model uses.",
        )
    return spelt, len(every) - len(spelt)


def carry_out(plan: Plan, reader: Reader) -> dict[str, Any]:
    """Have the chains read, show what comes of it, and write it beside the results.

    Args:
        plan: What is to be done.
        reader: Takes chains apart.

    Returns:
        All figures, of JSON types.

    Raises:
        ConfigError: No chain has a step that can be weighed.
        BackendError: The model failed.
    """
    from tts.evaluation.step_importance import contrasts, effects
    from tts.evaluation.step_importance_report import entries, notes

    began = time.monotonic()
    chains, usage = asyncio.run(_weighed(plan, reader))
    usage = replace(usage, seconds=time.monotonic() - began)
    found, against = effects(chains), contrasts(chains)
    if not found:
        raise ConfigError(
            "None of the chains that were drawn has a step that could be weighed.",
            hint="Say how the model marks its steps, with --thinking; or raise --limit.",
        )
    name = plan.backend.model.name
    said = notes(found, against, name, len(plan.chains) - len(chains))
    if plan.spared:
        said.append(f"{plan.spared} of the usual phrasings are left out: no tokens for them.")
    said.append(_cost(name, usage))
    _show(found, said)
    _draw(plan.folder, chains, found, said)
    return {**entries(found, against, chains), "notes": said, "usage": usage.as_dict()}


async def _weighed(plan: Plan, reader: Reader) -> tuple[list[Weighed], Usage]:
    from tts.analysis.perplexity import read_perplexity
    from tts.cli._bars import moving
    from tts.evaluation.step_importance import weighed

    costs: list[Usage] = []
    with moving() as bars:
        try:
            starting = bars.add_task(f"Starting {plan.backend.model.name}", total=None)
            await plan.backend.start()
            bars.remove_task(starting)
            bar = bars.add_task("Weighing steps", total=len(plan.chains))
            found = await weighed(
                plan.chains,
                plan.problems,
                reader,
                read_perplexity(plan.backend, plan.phrasings, costs.append),
                steps=plan.steps,
                told=partial(bars.advance, bar),
            )
        finally:
            await plan.backend.aclose()
    return found, sum(costs, Usage())


def _show(found: Sequence[Effect], said: Sequence[str]) -> None:
    from rich.console import Console

    from tts.evaluation.step_importance_report import sheets

    console = Console(highlight=False)
    for sheet in sheets(found):
        console.print(sheet.rich(console.width))
        console.print()
    for note in said:
        console.print(note, style="yellow", markup=False, soft_wrap=True)


def _draw(
    folder: Path, chains: Sequence[Weighed], found: Sequence[Effect], said: Sequence[str]
) -> None:
    from tts.evaluation.step_importance_plot import draw
    from tts.evaluation.step_importance_report import markdown
    from tts.evaluation.store import IMPORTANCE, IMPORTANCE_PICTURE, write_atomically

    write_atomically(folder / IMPORTANCE, markdown(found, said))
    draw(chains, folder / IMPORTANCE_PICTURE)


def _cost(name: str, usage: Usage) -> str:
    dollars = f", ${usage.usd:.4f}" if usage.usd else ""
    return (
        f"{name} read {usage.prompt_tokens:,} tokens in {usage.calls:,} requests, each of which"
        f" generated a token that was thrown away: {usage.flops:.3g} FLOPs{dollars},"
        f" {usage.seconds:.0f} s with its start."
    )


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    if not set(kinds) <= set(_KINDS):
        raise argparse.ArgumentTypeError(f"{text!r} is not some of {','.join(_KINDS)}")
    return kinds

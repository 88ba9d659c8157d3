"""Arms whose problems are solved elsewhere: the pool of workers, and what makes their setups."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from tts.cli.build import build
from tts.errors import ConfigError
from tts.executors.ray import RayPool, Recipe, Shelf
from tts.protocols import AnswerFormat
from tts.solve import Setup
from tts.tasks import Task


class Maker(Protocol):
    """Makes setups of configurations, as `tts.cli.workshop.Workshop` does."""

    def setup(self, config: Mapping[str, Any], answers: AnswerFormat, max_tokens: int) -> Setup:
        """How problems are solved under a configuration."""
        ...


def pool_of(config: Mapping[str, Any]) -> RayPool:
    """The workers that a configuration wants.

    Raises:
        ConfigError: A setting cannot be used, or Ray is missing.
    """
    node = dict(config["executor"])
    if "gpus" in node and node["gpus"] is None:
        node["gpus"] = float(_devices(config))
    pool = build("executor", node)
    if not isinstance(pool, RayPool):
        raise ConfigError(
            f"executor._target_ is {node['_target_']}, which makes no pool of workers.",
            hint="Set executor=ray, or executor=local.",
        )
    return pool


def recipe_of(
    config: Mapping[str, Any], task: Task, workers: int, maker: Callable[[], Maker]
) -> Recipe:
    """What makes the setup of a configuration in each of several workers.

    Args:
        config: Resolved.
        task: Knows how answers are written; the data set stays here.
        workers: Share the limits of servers.
        maker: Makes what makes setups, once in each worker.

    Raises:
        ConfigError: A limit cannot be shared by so many.
    """
    needed = {key: value for key, value in config.items() if key != "task"}
    for part in ("backend", "draft", "verifier"):
        needed[part] = _shared(part, config.get(part), workers)
    return partial(_made, maker, needed, task.answers, task.max_tokens, os.getcwd())


def _made(
    maker: Callable[[], Maker],
    config: Mapping[str, Any],
    answers: AnswerFormat,
    max_tokens: int,
    folder: str,
    shelf: Shelf,
) -> Setup:
    """In a worker: the setup, of parts that its other setups have too."""
    with suppress(OSError):  # a folder that only the other machine has
        os.chdir(folder)  # so that paths mean the same
    if "maker" not in shelf:
        shelf["maker"] = maker()
    made: Setup = shelf["maker"].setup(config, answers, max_tokens)
    return made


def _devices(config: Mapping[str, Any]) -> int:
    """GPUs that the largest of the engines wants; they share them, see `tts.engine.memory`."""
    from tts.engine import detect
    from tts.engine.layout import layout_of

    engines = [e for part in ("backend", "draft", "verifier") for e in _engines(config.get(part))]
    if not engines or not detect().is_cuda:
        return 0
    return max(layout_of({**engine, **(engine.get("extra") or {})}).workers for engine in engines)


def _engines(node: Any) -> Iterator[Mapping[str, Any]]:
    """Settings of all engines in a node and its parts."""
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        if key == "engine" and isinstance(value, Mapping) and node.get("_target_"):
            yield value
        else:
            yield from _engines(value)


def _shared(path: str, node: Any, workers: int) -> Any:
    """A node with the limits of its servers divided, so that they hold for all workers together.

    Raises:
        ConfigError: There is not one request in flight for each.
    """
    if not isinstance(node, Mapping):
        return node
    shared = {key: _shared(f"{path}.{key}", value, workers) for key, value in node.items()}
    limits = path.endswith(".limits")
    if limits and isinstance(rate := node.get("requests_per_second"), int | float):
        shared["requests_per_second"] = rate / workers
    counts = ("tokens_per_minute", "in_flight") if limits else ("in_flight",)
    for name in counts if limits or "server" in node else ():
        if not isinstance(value := node.get(name), int):
            continue
        if value < workers:
            raise ConfigError(
                f"{path}.{name} is {value}, too little for {workers} workers.",
                hint=f"Raise it, or lower executor.workers to {max(1, value)}.",
            )
        shared[name] = value // workers
    return shared

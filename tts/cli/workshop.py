"""From resolved configurations to arms that can be evaluated; equal parts are made once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from tts.budget import Budget
from tts.budget.limits import TOTAL, is_unlimited
from tts.cli._tuned import check_tuned
from tts.cli.build import build, integer
from tts.cli.jobs import NOT_AN_OUTCOME, ArmConfig, Job
from tts.errors import ConfigError
from tts.evaluation import Arm, Names, check
from tts.evaluation.trees import Keep
from tts.executors import Executor
from tts.protocols import AnswerFormat, Backend, Strategy, Verifier, Watcher
from tts.solve import Setup
from tts.tasks import RequestsTask, Task
from tts.types import Capability, Sampling


@dataclass(frozen=True, eq=False)
class Work:
    """One arm of one job, ready to be evaluated."""

    job: Job
    arm: Arm
    task: Task
    concurrency: int


class Workshop:
    """Makes objects of configurations; equal tasks, backends and verifiers are made once."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._backends: dict[str, Backend] = {}
        self._verifiers: dict[str, Verifier | None] = {}
        self._pools: dict[str, Any] = {}
        self._sharing: dict[str, Any] = {}  # backends that lend their engine to other adapters

    def work(self, job: Job, arm: ArmConfig, *, open_ended: bool = False) -> Work:
        """Make all objects of an arm, and check that they fit each other.

        Args:
            job: Whose arm it is.
            arm: Resolved.
            open_ended: See `Arm.open_ended`.

        Raises:
            ConfigError: Something cannot be used; nothing was spent.
        """
        config = arm.config
        key = json.dumps(config["task"], sort_keys=True)
        task = self._tasks.get(key) or build("task", config["task"])
        self._tasks[key] = task
        concurrency = integer(config, "concurrency", 1)
        setup = self.setup(config, task.answers, task.max_tokens)
        check_tuned(config, setup.backend, task.name, setup.strategy)
        if not open_ended:
            check(task, setup)
        if isinstance(task, RequestsTask) and task.structured:
            setup.check_structured()
        total = _total(config["total_budget"], setup)
        executor = self._executor(config, task, setup)
        if executor is not None:
            executor.check(total)
        names = _names(job, arm, setup, task, total)
        # What backend and verifier say of themselves, not how they were configured: the number of
        # requests in flight, or the port of a server, makes no other run.
        outcome = {k: v for k, v in config.items() if k not in NOT_AN_OUTCOME}
        if not setup.watchers:  # how thinking is marked matters to nobody then
            outcome = {k: v for k, v in outcome.items() if k not in ("trimming", "thinking")}
        if open_ended:  # wherever the file lies, and whatever it is called
            hidden = ("path", "name")
            outcome["task"] = {k: v for k, v in config["task"].items() if k not in hidden}
        outcome.pop("structure", None)
        if setup.structure is not None:  # what it says, wherever its file lies
            outcome["structure"] = setup.structure.as_dict()
        outcome.pop("draft", None)
        if setup.draft is not None:
            outcome["draft"] = setup.draft.identity()
        if total is None:  # so that older runs without one can be continued
            outcome.pop("total_budget")
        if any(budget and budget.usd is not None for budget in (setup.budget, total)):
            outcome["prices"] = _prices(setup)  # they decide when it ends
        outcome |= {
            "model": config["model"]["sampling"],
            "backend": setup.backend.identity(),
            "verifier": setup.verifier and setup.verifier.identity(),
        }
        made = Arm(
            arm.label,
            setup,
            names,
            outcome,
            integer(config, "repeats", 1),
            _keep(config["keep"]),
            total,
            open_ended,
            executor,
        )
        return Work(job, made, task, concurrency)

    def setup(self, config: Mapping[str, Any], answers: AnswerFormat, max_tokens: int) -> Setup:
        """How problems are solved under a configuration.

        Args:
            config: All its fields, resolved.
            answers: How answers are written.
            max_tokens: Cap on the tokens of one answer, at least 1.

        Raises:
            ConfigError: Something cannot be used, or does not fit the rest; nothing was spent.
        """
        parts = {name: build(name, config[name]) for name in _PARTS}
        seed, sampling = integer(config, "seed"), _sampling(config["model"])
        watchers = _watchers(config.get("trimming") or {})
        # The backend last: it may have to look for a model and read its tokenizer.
        return Setup(
            **parts,
            verifier=self._verifier(config["verifier"]),
            backend=self._backend(config["backend"], config["replay"]),
            draft=self._draft(parts["strategy"], config),
            answers=answers,
            sampling=sampling,
            max_tokens=max_tokens,
            seed=seed,
            watchers=watchers,
            thinking=build("thinking", config["thinking"]),
            structure=build("structure", config.get("structure")),
        )

    def _draft(self, strategy: Strategy, config: Mapping[str, Any]) -> Backend | None:
        """The draft model, for a strategy that wants one; others start none in vain."""
        node = config["draft"]
        if Capability.DRAFT not in strategy.requires or not node["_target_"]:
            return None
        return self._backend(node, config["replay"], "draft")

    def _backend(
        self, node: Mapping[str, Any], replay: Mapping[str, Any], where: str = "backend"
    ) -> Backend:
        key = json.dumps([node, replay], sort_keys=True)
        if key not in self._backends:
            self._backends[key] = _replayed(self._decoder(node, where), replay)
        return self._backends[key]

    def _decoder(self, node: Mapping[str, Any], where: str) -> Backend:
        """A backend by itself; those that differ in their adapter alone share an engine."""
        from tts.engine.census import made_as

        kin = json.dumps({**node, "adapter": None}, sort_keys=True)
        if kin in self._sharing:
            sibling: Backend = self._sharing[kin].adapter(node["adapter"])
            return sibling
        with made_as("draft" if where == "draft" else None):
            made: Backend = build(where, _known(node))
        if "adapter" in node and hasattr(made, "adapter"):
            self._sharing[kin] = made
        return made

    def _executor(self, config: Mapping[str, Any], task: Task, setup: Setup) -> Executor | None:
        """Where an arm is solved; those with one backend share their workers' engines."""
        node = config.get("executor") or {}
        if not node.get("_target_"):
            return None
        from tts.cli.spread import pool_of, recipe_of
        from tts.executors.ray import RayExecutor

        key = json.dumps([node, config["backend"], config["replay"]], sort_keys=True)
        if key not in self._pools:
            self._pools[key] = pool_of(config)
        pool = self._pools[key]
        return RayExecutor(pool, recipe_of(config, task, pool.workers, Workshop), setup)

    def _verifier(self, node: Mapping[str, Any] | None) -> Verifier | None:
        key = json.dumps(node, sort_keys=True)
        if key not in self._verifiers:
            self._verifiers[key] = build("verifier", node)
        return self._verifiers[key]


_PARTS = ("strategy", "budget", "controller")


def _known(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """A backend's node without an adapter that is none: a class of the user's may not know it.

    He could not take the field out himself: Hydra deletes none that is null.
    """
    return {name: value for name, value in node.items() if name != "adapter" or value is not None}


def _watchers(nodes: Mapping[str, Any]) -> tuple[Watcher, ...]:
    return tuple(build(f"trimming.{name}", node) for name, node in nodes.items())


def _replayed(backend: Backend, replay: Mapping[str, Any]) -> Backend:
    """The backend behind a replay cache, if one is wanted."""
    path, offline = replay["path"], replay["offline"]
    if not isinstance(offline, bool):
        raise ConfigError(f"replay.offline is {offline!r}; it must be true or false.")
    if path is None and not offline:
        return backend
    if not isinstance(path, str):
        raise ConfigError(
            f"replay.path is {path!r}; it must be a folder.", hint="Set replay.path=replay."
        )
    from tts.backends.replay import ReplayBackend  # loads SQLite

    return ReplayBackend(backend, Path(path).expanduser(), offline=offline)


def _total(node: Mapping[str, Any], setup: Setup) -> Budget | None:
    """Limits for all problems together, if there are any."""
    limits: Budget = build(TOTAL, node)
    total = None if is_unlimited(limits) else limits
    setup.check_total(total)
    return total


def _prices(setup: Setup) -> list[tuple[float, float, float]]:
    """Dollars by the token of all that is asked."""
    parts = (setup.backend, setup.verifier_backend, setup.draft)
    models = [part.model for part in parts if part is not None]
    return [
        (m.usd_per_prompt_token, m.usd_per_cached_token, m.usd_per_completion_token) for m in models
    ]


def _keep(value: object) -> Keep:
    if value not in get_args(Keep):
        raise ConfigError(
            f"keep is {value!r}; it must be one of {', '.join(get_args(Keep))}.",
            hint="Set keep=texts.",
        )
    return cast(Keep, value)


def _sampling(model: Mapping[str, Any]) -> Sampling:
    node = {"_target_": "tts.types.Sampling", **model["sampling"]}
    sampling: Sampling = build("model.sampling", node)
    return sampling


def _names(job: Job, arm: ArmConfig, setup: Setup, task: Task, total: Budget | None) -> Names:
    # A sweep over amounts makes a curve; anything else makes curves of their own.
    amounts = ("budget.", f"{TOTAL}.", "strategy", "controller.")
    others = [o for o in job.swept if not o.startswith(amounts)]
    return Names(
        strategy_name=arm.choices["strategy"],
        task=task.name,
        model=setup.backend.model.name,
        backend=arm.choices["backend"],
        verifier=arm.choices["verifier"] if setup.verifier else None,
        draft=setup.draft.model.name if setup.draft else None,
        controller=arm.choices["controller"],
        n=getattr(setup.strategy, "n", None),
        budget=_amounts(setup.budget),
        total_budget=_amounts(total),
        seed=setup.seed,
        series=" ".join([arm.series, *others]),
    )


def _amounts(budget: Budget | None) -> dict[str, int | float]:
    """What is limited."""
    return budget.model_dump(exclude_none=True, exclude_defaults=True) if budget else {}

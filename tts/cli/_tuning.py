"""A search of `tts tune`, from its beginning to its files."""

from __future__ import annotations

import asyncio
import json
import math
import signal
from argparse import Namespace
from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

from tts.backends.vllm import VLLMBackend
from tts.cli._tuning_display import Display, show
from tts.cli._tuning_order import Order, place
from tts.cli.execute import nice
from tts.cli.workshop import Workshop
from tts.evaluation.store import write_atomically
from tts.protocols import AnswerFormat
from tts.tuning.engine.bench import Bench
from tts.tuning.engine.candidates import Candidate, need_gib, references, why_not
from tts.tuning.engine.knobs import guesses, settings
from tts.tuning.engine.readings import pieces
from tts.tuning.engine.saving import PICTURE, STUDY, TUNED, document, save
from tts.tuning.engine.search import Limits, Search
from tts.tuning.engine.study import Study
from tts.tuning.engine.trial import Sentinel, Trial
from tts.tuning.engine.verdict import Verdict, verdict
from tts.tuning.engine.workload import Workload

_ROOM = 0.7  # of the free memory, for all engines that are up at the same time
_START_SECONDS = 1800.0  # that an engine may take to come up; a large one compiles for minutes
_LOG = "engines.log"


def tune(asked: Order, options: Namespace) -> None:
    """Search, and write and show what was found.

    Args:
        asked: Checked.
        options: Of the command line.

    Raises:
        ConfigError: The folder cannot be used.
        TrialFailed: The defaults cannot be measured.
        KeyboardInterrupt: The user wants no more; what was measured is kept.
    """
    seed = asked.job.config["seed"]
    with Study(asked.folder, asked.identity, asked.knobs, seed) as study, Display() as display:
        if study.moved:
            display.say(f"An earlier search was in the way and is now in {nice(study.moved)}.")
        if study.continued:
            display.say(f"Going on in {nice(study.folder)}: {study.continued} points are known.")
        signal.signal(signal.SIGTERM, _terminated)
        try:
            _search(asked, options, study, display)
        except BaseException:
            display.say(f"Stopped; the same command goes on in {nice(study.folder)}.")
            _write(asked, verdict(study), options)
            raise
        found = verdict(study)
    _write(asked, found, options)
    title = ", ".join(asked.about[key] for key in ("model", "workload", "machine"))
    if any(each.ratios for each in found.tried):
        from tts.tuning.engine.landscape import draw

        draw(found, asked.knobs, title, asked.folder / PICTURE)
    show(found, asked.about, options.objective)
    where = nice(asked.folder)
    if found.winner is not None:
        print(f"Settings: {where}/{TUNED}; use them with --config-dir {where} +tuned=engine.")
    print(f"All trials: {where}/{STUDY}, {where}/{PICTURE}")


def workload(
    config: Mapping[str, Any],
    answers: AnswerFormat,
    max_tokens: int,
    engine: Mapping[str, Any],
) -> Workload:
    """In the process of a trial: the workload with an engine of its own.

    Args:
        config: Resolved.
        answers: How answers are written.
        max_tokens: Cap on the tokens of an answer.
        engine: Settings of the engine.

    Raises:
        ConfigError: It cannot be made with these settings.
    """
    changed = {
        **config,
        "model": {**config["model"], "engine": dict(engine)},
        "backend": {**config["backend"], "engine": dict(engine)},
    }
    setup = Workshop().setup(changed, answers, max_tokens)
    assert isinstance(setup.backend, VLLMBackend)
    return Workload(setup, setup.backend.engine, int(config["concurrency"]))


def _search(asked: Order, options: Namespace, study: Study, display: Display) -> None:
    work, facts, base = asked.work, asked.facts, asked.base
    problems = [item.problem for item in work.task]
    warm_up, *rest = pieces(problems, asked.piece, options.pieces)
    config = {key: value for key, value in work.job.arms[0].config.items() if key != "task"}
    maker = partial(workload, config, work.task.answers, work.task.max_tokens)
    log = asked.folder / _LOG
    with Sentinel() as sentinel:

        def start(candidate: Candidate) -> Trial:
            chosen = settings(base, candidate.point)
            return Trial(maker, chosen, candidate.environment, log, sentinel, _START_SECONDS)

        def need(candidate: Candidate) -> float:
            return need_gib(candidate.point, base, facts, asked.path)

        # A GPU is given to one engine as a whole.
        room = 0.0 if facts.hardware.is_cuda else _ROOM * facts.hardware.memory_gib
        defaults = place(asked)
        if options.objective == "throughput":
            study.suggest(guesses(asked.knobs, defaults))
        with Bench(start, need, room, warm_up) as bench:
            search = Search(
                study=study,
                bench=bench,
                references=references(facts),
                pieces=rest,
                objective=options.objective,
                why_not=lambda point: why_not(point, base, facts, asked.path),
                watcher=display,
                place=defaults,
            )
            seconds = math.inf if options.minutes is None else 60 * options.minutes
            search.run(Limits(options.trials, seconds, options.rounds))


def _write(asked: Order, found: Verdict, options: Namespace) -> None:
    save(asked.folder, asked.about, asked.knobs, found, date.today().isoformat())
    if options.json:
        text = json.dumps(document(asked.about, asked.knobs, found), indent=2)
        write_atomically(options.json, text + "\n")


def _terminated(*_: object) -> None:
    raise asyncio.CancelledError  # which the command line ends with its own code

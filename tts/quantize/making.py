"""Has the worker quantise a checkpoint, or undo it, and reports how it goes.

The worker is a process of the other environment. It is killed if this one is left early, and its
own words are kept in a log for the case that it fails.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts.errors import TTSError
from tts.quantize.checkpoint import Checkpoint
from tts.quantize.environment import Environment, Report
from tts.quantize.recipes import Recipe

WORKER = Path(__file__).with_name("_worker.py")
_SMALL = 64 << 20  # bytes of weights below which threads only wait for each other
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes checkpoints.

    Attributes:
        environment: Of llm-compressor.
        log: File for what the worker prints; written over each time.
        report: Told how it goes.
        trust: Whether a checkpoint's own code may run.
        seed: For what the libraries draw.
    """

    environment: Environment
    log: Path
    report: Report
    trust: bool = False
    seed: int = 0

    def quantise(
        self,
        source: Checkpoint,
        target: Path,
        recipe: Recipe,
        sequences: Sequence[Sequence[int]],
    ) -> dict[str, Any]:
        """Quantise a checkpoint into an existing folder.

        Args:
            source: The full one.
            target: An empty folder.
            recipe: What is made of it.
            sequences: Token ids of the calibration data, if the recipe needs any.

        Returns:
            `layers`, the number of quantised ones, and `versions`.

        Raises:
            TTSError: It failed; the message says why.
        """
        data = None
        if recipe.needs_data:
            data = target / "sequences.json"
            data.write_text(json.dumps([list(each) for each in sequences]))
        job = {
            "do": "quantise",
            "modifiers": recipe.modifiers(),
            "sequences": data and str(data),
            "longest": max(map(len, sequences), default=1),
        }
        try:
            made = self._run(job, source.path, target, _threads(source.bytes), "quantising")
            if recipe.narrow:
                _declare_eight_bits(target / "config.json")
            return made
        finally:
            if data is not None:
                data.unlink(missing_ok=True)

    def dequantise(self, source: Path, target: Path) -> dict[str, Any]:
        """Write what a quantised checkpoint stands for into an existing folder.

        Raises:
            TTSError: It failed; the message says why.
        """
        return self._run({"do": "dequantise"}, source, target, 1, "dequantising")

    def _run(
        self, job: Mapping[str, Any], source: Path, target: Path, threads: int, what: str
    ) -> dict[str, Any]:
        common = {"source": str(source), "target": str(target), "threads": threads}
        whole = {**job, **common, "seed": self.seed, "trust": self.trust}
        file = target / "job.json"
        file.write_text(json.dumps(whole))
        self.report(what)
        try:
            made = self._listen(file, threads, what)
        finally:
            file.unlink(missing_ok=True)
        if made is None:
            raise TTSError(
                f"llm-compressor failed while {what}: {_last_line(self.log)}",
                hint=f"All that it said is in {self.log}.",
            )
        return made

    def _listen(self, file: Path, threads: int, what: str) -> dict[str, Any] | None:
        """Run the worker; what it made, or None if it failed."""
        ours, theirs = os.pipe()
        words = [str(self.environment.python), "-I", str(WORKER), str(file), str(theirs)]
        environ = {**os.environ, **_QUIET, "OMP_NUM_THREADS": str(threads)}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        made = None
        with (
            os.fdopen(ours) as told,
            self.log.open("w") as log,
            subprocess.Popen(words, stdout=log, stderr=log, env=environ, pass_fds=[theirs]) as run,
        ):
            os.close(theirs)  # the worker has its own, and its end is the end of what is told
            try:
                for line in told:
                    message = json.loads(line)
                    if "made" in message:
                        made = message["made"]
                    else:
                        self.report(f"{what}… {message['doing']} {message['done']}/{message['of']}")
            except BaseException:
                run.kill()
                raise
        return None if run.returncode else made


def _declare_eight_bits(path: Path) -> None:
    """Say of weights that use 7 of 8 bits what they are stored in: vLLM looks for 8."""
    config = json.loads(path.read_text())
    for group in config["quantization_config"]["config_groups"].values():
        group["weights"]["num_bits"] = 8
    path.write_text(json.dumps(config, indent=2) + "\n")


def _threads(weights: int) -> int:
    return 1 if weights < _SMALL else len(os.sched_getaffinity(0))


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing.")

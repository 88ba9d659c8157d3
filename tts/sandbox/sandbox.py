"""A place where foreign code runs and cannot get out: bubblewrap, limits, and a filter of calls.

Inside there is no network, and no file of the machine but the system's programs, Python and what is
bound, all of it read-only; no variable of ours, no other process, and one work folder in memory,
gone afterwards. There is no other way of running foreign code here: where bubblewrap does not work,
making a `Sandbox` is refused.

Its walls are those of the kernel, which is shared: a fault of the kernel is a way out.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from tts.errors import ConfigError, SandboxError
from tts.sandbox import _bubble
from tts.sandbox._seccomp import sandboxed
from tts.sandbox._watch import watch
from tts.sandbox.gates import Gates
from tts.sandbox.limits import Limits, Outcome, Reason

_gates = Gates(max(1, min(8, (os.cpu_count() or 1) - 1)))
_TRIAL = 30.0  # seconds
_HOW_TO_INSTALL = "Install bubblewrap and util-linux (Debian, Ubuntu: apt install bubblewrap)."
_HOW_TO_ALLOW = (
    "It takes bubblewrap 0.7 or newer, and user namespaces: in a container, start that with"
    " --security-opt seccomp=unconfined --security-opt systempaths=unconfined; on Ubuntu, set"
    " kernel.apparmor_restrict_unprivileged_userns=0."
)
_NOT_STARTED = (126, 127)


@dataclass(frozen=True)
class Sandbox:
    """Runs commands behind walls. Safe to use from many tasks; a few run at a time.

    Attributes:
        limits: What each of them may use.
        binds: Places outside that they may read, beside /usr and Python, as absolute paths. If
            root runs this, everybody must be allowed to read them: what is inside is nobody.

    Raises:
        ConfigError: Nothing can be run in a sandbox on this machine, or a place is not there.
    """

    limits: Limits = field(default_factory=Limits)
    binds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if fault := fault_of_machine():
            raise ConfigError(f"Foreign code cannot be run safely here: {fault[0]}.", hint=fault[1])
        for place in self.binds:
            if not os.path.isabs(place) or not os.path.exists(place):
                raise ConfigError(f"binds names {place!r}, which is no path to anything here.")

    def find(self, command: str) -> str:
        """The absolute path of a command that can be run inside.

        Raises:
            ConfigError: There is no such command, or it lies where a sandbox sees nothing.
        """
        found = shutil.which(command)
        if found is None:
            raise ConfigError(f"There is no command {command!r}.", hint="Install it, or set PATH.")
        seen = [PurePath(place) for place in _bubble.visible(self.binds)]
        for path in (os.path.abspath(found), os.path.realpath(found)):
            if not any(PurePath(os.path.realpath(path)).is_relative_to(place) for place in seen):
                raise ConfigError(
                    f"The command {command!r} lies in {path}, which a sandbox does not see.",
                    hint="Name the folder of its installation in binds.",
                )
        return os.path.abspath(found)

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        files: Mapping[str, bytes] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run a command to its end, or to that of its limits; nothing of it is left afterwards.

        Args:
            argv: The command and its arguments.
            stdin: What it can read from standard input.
            files: What lies in its folder, by name; a name may have folders.
            env: Variables beside PATH, HOME, TMPDIR and LANG.

        Raises:
            SandboxError: The sandbox itself, or the command in it, does not start.
            ValueError: A file's name leads out of the folder, or an argument holds a NUL.
        """
        for name in files or {}:
            if not is_inside(name):
                raise ValueError(f"{name!r} is no name of a file in a folder")
        async with _gates.here():
            with contextlib.ExitStack() as opened:
                return await self._run(opened, argv, stdin, files or {}, env or {})

    async def _run(
        self,
        opened: contextlib.ExitStack,
        argv: Sequence[str],
        stdin: bytes,
        files: Mapping[str, bytes],
        env: Mapping[str, str],
    ) -> Outcome:
        code = sandboxed(platform.machine())
        seccomp = None if code is None else opened.enter_context(_held(code))
        held = {name: opened.enter_context(_held(data)) for name, data in files.items()}
        said, status = os.pipe()
        opened.callback(os.close, said)
        with contextlib.ExitStack() as ours:
            ours.callback(os.close, status)
            starting = asyncio.create_subprocess_exec(
                *_bubble.layers(argv, self.binds, self.limits, files=held, status=status,
                                seccomp=seccomp, root=_bubble.is_root()),
                stdin=opened.enter_context(_held(stdin)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=[status, *held.values(), *(() if seccomp is None else (seccomp,))],
                cwd="/",
                env={**_bubble.ENVIRONMENT, **env},
                start_new_session=True,
            )  # fmt: skip
            process = await _started(starting)
        out, err = bytearray(), bytearray()
        reason = await _ending(process, out, err, self.limits)
        return _outcome(os.read(said, 1 << 16), bytes(out), bytes(err), reason)


@functools.cache
def fault_of_machine() -> tuple[str, str] | None:
    """Why nothing can be run in a sandbox on this machine, and the way out; None if it can."""
    root = _bubble.is_root() if os.path.exists("/proc/self/uid_map") else False
    for tool in _bubble.TOOLS_OF_ROOT if root else _bubble.TOOLS:
        if shutil.which(tool, path=_bubble.ENVIRONMENT["PATH"]) is None:
            return f"{tool} is not installed", _HOW_TO_INSTALL
    python = [sys.executable, "-I", "-S", "-c", ""]
    trial = _bubble.layers(python, (), Limits(), files={}, status=2, seccomp=None, root=root)
    try:
        done = subprocess.run(
            trial, env=_bubble.ENVIRONMENT, capture_output=True, timeout=_TRIAL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start ({error})", _HOW_TO_ALLOW
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").splitlines()
    words = [line for line in lines if not line.startswith("{")] or ["no word"]
    return f"bubblewrap does not work ({words[-1].removeprefix('bwrap: ')})", _HOW_TO_ALLOW


@contextlib.contextmanager
def _held(data: bytes) -> Iterator[int]:
    """A descriptor to read some data from, and nothing else."""
    fd = os.memfd_create("tts-sandbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        yield fd
    finally:
        os.close(fd)


def is_inside(name: str) -> bool:
    """Whether a name is one of a file in the work folder, or in a folder there."""
    path = PurePath(name)
    outside = path.is_absolute() or ".." in path.parts or not path.parts
    return not (outside or "\0" in name or name.endswith(("/", "/.")))


async def _started(
    starting: Coroutine[Any, Any, asyncio.subprocess.Process],
) -> asyncio.subprocess.Process:
    """Wait for the start; if that is cancelled, end what has been started."""
    task = asyncio.ensure_future(starting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        process = await task
        _kill(process)
        await process.communicate()
        raise


def _kill(process: asyncio.subprocess.Process) -> None:
    """With bubblewrap's first process, the kernel ends all in its namespace."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _ending(
    process: asyncio.subprocess.Process, out: bytearray, err: bytearray, limits: Limits
) -> Reason | None:
    """Wait for the end, and see to it; which limit was reached, if that was one."""
    most, full = limits.output_kib << 10, asyncio.Event()
    ended = asyncio.gather(
        _fill(out, process.stdout, most, full),
        _fill(err, process.stderr, most, full),
        process.wait(),
    )
    filled = asyncio.ensure_future(full.wait())
    watching = asyncio.ensure_future(watch(process.pid, limits))
    try:
        await asyncio.wait(
            (ended, filled, watching), timeout=limits.seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if full.is_set():
            return "output"
        if ended.done():
            return None
        return watching.result() if watching.done() else "time"
    finally:
        _kill(process)
        filled.cancel()
        watching.cancel()
        await asyncio.gather(ended, filled, watching, return_exceptions=True)


async def _fill(
    into: bytearray, stream: asyncio.StreamReader | None, most: int, full: asyncio.Event
) -> None:
    """Read to the end, as what is not read would hold up that of the process; keep `most` bytes."""
    assert stream is not None, "standard output and error are pipes"
    while piece := await stream.read(1 << 16):
        if len(into) + len(piece) > most:
            full.set()
        into += piece[: most - len(into)]


def _outcome(said: bytes, out: bytes, err: bytes, reason: Reason | None) -> Outcome:
    """What came of a command, after bubblewrap's own words.

    Raises:
        SandboxError: It did not start.
    """
    if reason is not None:
        return Outcome(None, out, err, reason)
    codes = [json.loads(line).get("exit-code") for line in said.splitlines()]
    code = next((code for code in codes if code is not None), None)
    if code is None or (code in _NOT_STARTED and err.startswith(b"prlimit:")):
        words = err.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise SandboxError(f"A command did not start in the sandbox: {words[-1]}.")
    return Outcome(code, out, err)

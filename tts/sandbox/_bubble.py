"""The command lines of bubblewrap: what a sandbox sees, and how a command gets into it.

As root there are two layers. Limits on the number of processes do not hold for the machine's root,
in whatever namespace, so the inner layer has to start as nobody; and nobody may not look into the
places where a Python of root's may lie, so the outer layer lays them out first. It also has numbers
of processes of its own, because root's processes may end nobody's with them only so.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from tts.sandbox._watch import WORK
from tts.sandbox.limits import Limits

TOOLS = ("bwrap", "prlimit", "timeout")
TOOLS_OF_ROOT = (*TOOLS, "setpriv")
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": WORK,
    "TMPDIR": WORK,
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",  # threads are limited, and one core is what there is for each sandbox
    "OPENBLAS_NUM_THREADS": "1",
}
_SYSTEM = ("/usr", "/nix/store", "/etc/alternatives", "/etc/ld.so.cache")
_TOP = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_NOBODY = "65534"
_OPEN_FILES = 256
_GRACE = 5.0  # seconds
_OURS = 2  # processes: one of bubblewrap, and one of timeout
_WHOLE_MACHINE = ["0", "0", "4294967295"]


def is_root() -> bool:
    """Whether we are the root of the machine, and not of a namespace."""
    mapped = Path("/proc/self/uid_map").read_text().split()
    return os.geteuid() == 0 and mapped == _WHOLE_MACHINE


def visible(binds: Iterable[str]) -> list[str]:
    """What a sandbox sees of the machine: the system's programs, Python, and further places."""
    python = (sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parents[1]))
    wanted = sorted({*(p for p in _SYSTEM if os.path.exists(p)), *python, *binds})
    return [p for p in wanted if not any(_below(p, other) for other in wanted if other != p)]


def layers(
    argv: Sequence[str],
    binds: Iterable[str],
    limits: Limits,
    *,
    files: Mapping[str, int],
    status: int,
    seccomp: int | None,
    root: bool,
) -> list[str]:
    """The whole command line, for a process that leads a session of its own, without a terminal.

    All of bubblewrap stays in the group of that process, so that killing the group ends everything
    at any moment of its start. The command leaves the group: it could kill it, too.

    Args:
        argv: What is to be run inside.
        binds: Further places to see, as absolute paths; they stay where they are.
        limits: What it may use.
        files: Descriptors of what lies in the work folder, by name.
        status: Descriptor to which bubblewrap says what becomes of the command.
        seccomp: Descriptor of a filter of system calls; None for none.
        root: Whether we are the root of the machine.
    """
    tree = _tree(visible(binds))
    put = [word for name, fd in files.items() for word in ("--file", str(fd), f"{WORK}/{name}")]
    filtered = [] if seccomp is None else ["--seccomp", str(seccomp)]
    inner = [
        *("bwrap", "--unshare-all", "--unshare-user", "--die-with-parent"),
        *("--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "sandbox"),
        *("--size", str(limits.disk_mib << 20), "--tmpfs", WORK, *tree, *put),
        *("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--remount-ro", "/"),
        *("--chdir", WORK, *filtered, "--json-status-fd", str(status), "--"),
    ]
    return [*(_outer(tree) if root else []), *inner, *_limited(limits), *argv]


def _outer(tree: Sequence[str]) -> list[str]:
    return [
        *("bwrap", "--unshare-pid", "--die-with-parent", "--cap-add", "ALL"),
        *("--perms", "0755", "--dir", WORK, *tree, "--bind", "/proc", "/proc", "--dev", "/dev"),
        *("--", "setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"),
        *("--bounding-set=-all", "--inh-caps=-all", "--"),
    ]


def _limited(limits: Limits) -> list[str]:
    """A group of its own, and limits of each process; their number counts all of the sandbox.

    Time is held from outside. `timeout` is for the case that nobody is there to do that any more: a
    kill of ours in the first moments, before bubblewrap has tied its life to ours.
    """
    processor = math.ceil(limits.seconds * limits.processes) + 1  # should nobody hold the time
    return [
        *("timeout", "--signal=KILL", f"{limits.seconds + _GRACE:.3f}"),
        *("prlimit", f"--as={limits.memory_mib << 20}", f"--nproc={limits.processes + _OURS}"),
        *(f"--cpu={processor}", f"--fsize={limits.disk_mib << 20}", f"--nofile={_OPEN_FILES}"),
        *("--core=0", "--msgqueue=0", "--"),
    ]


def _tree(places: Iterable[str]) -> list[str]:
    words: list[str] = []
    for path in _TOP:
        if os.path.islink(path):
            words += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            words += ["--ro-bind", path, path]
    for place in places:
        for parent in reversed(PurePath(place).parents[:-1]):
            words += ["--perms", "0755", "--dir", str(parent)]
        words += ["--ro-bind", place, place]
    return words


def _below(path: str, other: str) -> bool:
    return PurePath(path).is_relative_to(other)

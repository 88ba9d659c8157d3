"""A process of ours that reads what models wrote gives up what it does without.

For workers that keep running, with libraries loaded; foreign code gets a `Sandbox`. What is given
up, each where the kernel lets us (Linux 5.13 and newer let us do all): writing files (Landlock),
further processes and threads, signals to others and sockets (seccomp), and privileges. Memory and
open files are limited everywhere.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct

from tts.sandbox._seccomp import FORKS, SIGNALS, SPYING, refusing

_LIBC = ctypes.CDLL(None, use_errno=True)
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_FILE_BYTES = 1 << 20
_OPEN_FILES = 64

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_WRITES = 0b1111111110010  # write, remove, and make anything; reading and running stay free
_WRITES_SINCE = {2: 1 << 13, 3: 1 << 14}  # move between folders, truncate
_WRITE = 2


def confine(memory: int) -> None:
    """Give up what a process that only computes does without; cannot be undone.

    Args:
        memory: Bytes of address space.
    """
    limit(resource.RLIMIT_AS, memory)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, _FILE_BYTES)
    limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    limit(resource.RLIMIT_NPROC, 0)
    _LIBC.prctl(_NO_NEW_PRIVILEGES, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    _keep_files()
    _refuse_calls()


def limit(kind: int, amount: int) -> None:
    """Lower a resource limit, as far as the hard limit allows."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (amount if hard < 0 else min(amount, hard), hard))


def _keep_files() -> None:
    """No writing, by Landlock; no change where the kernel has none."""
    version = _LIBC.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return
    writes = _WRITES | sum(bit for since, bit in _WRITES_SINCE.items() if version >= since)
    rules = struct.pack("Q", writes)
    ruleset = _LIBC.syscall(_LANDLOCK_CREATE, rules, len(rules), 0)
    opened = os.open(os.devnull, os.O_PATH)
    _LIBC.syscall(_LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", _WRITE, opened), 0)
    os.close(opened)
    _LIBC.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


def _refuse_calls() -> None:
    """Some system calls fail from now on; no change on other machines."""
    code = refusing([*FORKS, *SIGNALS, *SPYING, "socket", "io_uring_setup"], platform.machine())
    if code is None:
        return
    lines = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(lines))
    _LIBC.prctl(_SET_SECCOMP, _FILTER, ctypes.c_char_p(program), 0, 0)

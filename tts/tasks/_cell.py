"""The process in which a program that nobody trusts is run. Standard library only.

Run as a script, `python -I _cell.py`: one JSON job on standard input, one JSON line out. It forks:
the child gives up what it can give up, runs the program, and says a secret word once all of it has
ended well; so a program that ends early with a success has not passed. The parent holds the time
limit. `confine` is also used by workers that evaluate what models wrote.

What is given up, each where the kernel lets us (Linux 5.13 and newer let us do all): writing
outside one folder (Landlock), further processes and threads, signals to others and sockets
(seccomp), and privileges. Memory, processor time and file sizes are limited everywhere.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import select
import struct
import sys
import time
import types
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2
_FILE_BYTES = 1 << 20
_OPEN_FILES = 64
_READY = b"."  # confined, and about to start

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_REFUSED = {
    # clone, fork, vfork, clone3; kill, tkill, tgkill, the two sigqueueinfo, pidfd_send_signal;
    # ptrace, process_vm_readv, process_vm_writev; socket; io_uring_setup
    "x86_64": (56, 57, 58, 435, 62, 200, 234, 129, 297, 424, 101, 310, 311, 41, 425),
    "aarch64": (220, 435, 129, 130, 131, 138, 240, 424, 117, 270, 271, 198, 425),
}
"""Numbers of system calls that a confined process does without."""

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_WRITES = 0b1111111110010  # write, remove, and make anything; reading and running stay free
_WRITES_SINCE = {2: 1 << 13, 3: 1 << 14}  # move between folders, truncate


def main() -> None:
    """Run the job on standard input, and say how it went."""
    job = json.load(sys.stdin)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _run(job, writer)
    os.close(writer)
    said = _listen(reader, job["seconds"])
    os.kill(child, 9)
    os.waitpid(child, 0)
    if said.startswith(_READY):
        print(json.dumps({"passed": said == _READY + job["word"].encode()}), flush=True)


def _run(job: dict[str, Any], writer: int) -> None:
    """In the child: never returns."""
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        word = job["word"].encode()
        limit(resource.RLIMIT_CPU, max(1, int(job["seconds"]) + 1))
        confine(os.getcwd(), job["memory"])
        os.write(writer, _READY)
        module = types.ModuleType("program")
        sys.modules["program"] = module
        for piece in job["pieces"]:
            exec(compile(piece, "program.py", "exec", dont_inherit=True), module.__dict__)
        os.write(writer, word)
    finally:
        os._exit(0)


def _listen(reader: int, seconds: float) -> bytes:
    """What the child says before it ends or the time is up."""
    end = time.monotonic() + seconds
    said = b""
    while select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
        piece = os.read(reader, 1 << 10)
        if not piece:
            break
        said += piece
    return said


def confine(folder: str | None, memory: int) -> None:
    """Give up what a program that only computes does without; cannot be undone.

    Args:
        folder: The only one in which files can be written from now on; None for none.
        memory: Bytes of address space.
    """
    limit(resource.RLIMIT_AS, memory)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, _FILE_BYTES)
    limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    limit(resource.RLIMIT_NPROC, 0)
    _LIBC.prctl(_NO_NEW_PRIVILEGES, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    _keep_files(folder)
    _refuse_calls(platform.machine())


def limit(kind: int, amount: int) -> None:
    """Lower a resource limit, as far as the hard limit allows."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (amount if hard < 0 else min(amount, hard), hard))


def _keep_files(folder: str | None) -> None:
    """No writing outside the folder, by Landlock; no change where the kernel has none."""
    version = _LIBC.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return
    writes = _WRITES | sum(bit for since, bit in _WRITES_SINCE.items() if version >= since)
    rules = struct.pack("Q", writes)
    ruleset = _LIBC.syscall(_LANDLOCK_CREATE, rules, len(rules), 0)
    for path, rights in ((folder, writes), (os.devnull, 2)):
        if path is not None:
            opened = os.open(path, os.O_PATH)
            rule = struct.pack("=Qi", rights, opened)
            _LIBC.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0)
            os.close(opened)
    _LIBC.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


def _refuse_calls(machine: str) -> None:
    """The system calls of `_REFUSED` fail from now on; no change on other machines."""
    numbers = _REFUSED.get(machine)
    if numbers is None:
        return
    load, equal, at_least, back = 0x20, 0x15, 0x35, 0x06
    killed, refused, allowed = 0x80000000, 0x00050001, 0x7FFF0000  # refused: with EPERM
    checks = [(equal, number) for number in numbers]
    checks.insert(0, (at_least, 1 << 30))  # the other numbering of x86-64
    code = [(load, 0, 0, 4), (equal, 1, 0, _ARCHITECTURES[machine]), (back, 0, 0, killed)]
    code.append((load, 0, 0, 0))
    code += [(kind, len(checks) - n, 0, value) for n, (kind, value) in enumerate(checks)]
    code += [(back, 0, 0, allowed), (back, 0, 0, refused)]
    packed = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(packed))
    _LIBC.prctl(_SET_SECCOMP, _FILTER, ctypes.c_char_p(program), 0, 0)


if __name__ == "__main__":
    main()

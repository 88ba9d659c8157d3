"""Filters of system calls, as programs for the kernel's packet filter. Knows no process.

Numbers and structures are those of Linux (`seccomp(2)`, `linux/filter.h`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "clone": (56, 220), "clone3": (435, 435), "fork": (57, None), "vfork": (58, None),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "socket": (41, 198), "io_uring_setup": (425, 425), "unshare": (272, 97), "setns": (308, 268),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190),
}  # fmt: skip
"""On x86-64 and on 64-bit ARM; None where there is no such call."""

SPYING = ("ptrace", "process_vm_readv", "process_vm_writev")
SIGNALS = (
    "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal",
)  # fmt: skip
FORKS = ("clone", "fork", "vfork", "clone3")
SANDBOXED = (
    *SPYING,
    "socket",  # also of families that no network namespace holds, such as those to a hypervisor
    "io_uring_setup",
    "unshare", "setns",
    "add_key", "request_key", "keyctl",  # keys of the user, outside of any namespace
    "bpf", "perf_event_open", "userfaultfd",  # where faults of the kernel are found
    "memfd_create", "memfd_secret", "shmget", "msgget", "semget",  # memory that no limit counts
)  # fmt: skip
"""What a sandboxed command does without, beside new namespaces."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _BACK = 0x20, 0x15, 0x35, 0x45, 0x06
_KILLED, _ALLOWED, _NOT_PERMITTED, _UNKNOWN = 0x80000000, 0x7FFF0000, 0x00050001, 0x00050026
_OTHER_NUMBERING = 1 << 30  # of x86-64
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in what a filter reads
_NAMESPACES = 0x7E020000  # flags of clone
_Line = tuple[int, int, int, int]


def refusing(names: Iterable[str], machine: str) -> bytes | None:
    """A filter under which some calls fail with EPERM.

    Args:
        names: Of the calls.
        machine: As `platform.machine()` says.

    Returns:
        The program, 8 bytes a line; None for machines whose numbers are not known here.
    """
    if machine not in _ARCHITECTURES:
        return None
    return _assembled(machine, _refusals(names, machine))


def sandboxed(machine: str) -> bytes | None:
    """The filter of sandboxed commands; None for machines whose numbers are not known here.

    Namespaces cannot be made. What a new call would do is done by an older one, whose flags can be
    read: so `clone3` is a call that the kernel does not know.
    """
    if machine not in _ARCHITECTURES:
        return None
    (clone,), (clone3,) = _numbers(["clone"], machine), _numbers(["clone3"], machine)
    lines = [(_EQUAL, 0, 1, clone3), (_BACK, 0, 0, _UNKNOWN)]
    lines += [(_EQUAL, 0, 4, clone), (_LOAD, 0, 0, _FIRST_ARGUMENT), (_ANY_BIT, 0, 1, _NAMESPACES)]
    lines += [(_BACK, 0, 0, _NOT_PERMITTED), (_BACK, 0, 0, _ALLOWED)]
    return _assembled(machine, [*lines, *_refusals(SANDBOXED, machine)])


def _numbers(names: Iterable[str], machine: str) -> list[int]:
    column = list(_ARCHITECTURES).index(machine)
    found = (_NUMBERS[name][column] for name in names)
    return [number for number in found if number is not None]


def _refusals(names: Iterable[str], machine: str) -> list[_Line]:
    checks = [(_AT_LEAST, _OTHER_NUMBERING)]
    checks += [(_EQUAL, number) for number in _numbers(names, machine)]
    lines = [(kind, len(checks) - n, 0, value) for n, (kind, value) in enumerate(checks)]
    return [*lines, (_BACK, 0, 0, _ALLOWED), (_BACK, 0, 0, _NOT_PERMITTED)]


def _assembled(machine: str, lines: Iterable[_Line]) -> bytes:
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, _ARCHITECTURES[machine])]
    code += [(_BACK, 0, 0, _KILLED), (_LOAD, 0, 0, _NUMBER), *lines]
    return b"".join(struct.pack("HBBI", kind, yes, no, value) for kind, yes, no, value in code)

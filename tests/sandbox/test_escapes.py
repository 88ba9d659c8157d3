"""Foreign code tries to get out, or to take all there is; the machine outside never notices."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests.sandbox.walls import PATIENT, needs_sandbox, shell
from tts.sandbox import Limits, Sandbox

pytestmark = needs_sandbox


async def python(program, limits=PATIENT, **how):
    """What comes of a Python program, with what it can be told on its standard input."""
    return await Sandbox(limits).run([sys.executable, "-I", "-c", program], **how)


def memory():
    """Most bytes that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def processes():
    """All of the machine, by number, with what each of them runs."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes()
            except OSError:
                continue
    return found


async def gone(mark):
    """Whether no process outside or inside has a mark on its command line, soon."""
    for _ in range(100):
        if not any(mark.encode() in words for words in processes().values()):
            return True
        await asyncio.sleep(0.05)
    return False


# --- files --------------------------------------------------------------------------------------


@pytest.fixture
def secret():
    """Files that nobody inside may read: in the home directory, in /tmp, and in the checkout."""
    word = secrets.token_hex()
    folders = (Path.home(), Path(tempfile.gettempdir()), Path(__file__).parent)
    files = [folder / f".tts-secret-{secrets.token_hex(4)}" for folder in folders]
    for file in files:
        file.write_text(word)
    yield word, files
    for file in files:
        file.unlink()


async def test_files_outside_cannot_be_read(secret):
    word, files = secret
    outcome = await shell("; ".join(f"cat {file}" for file in files) + "; cat /etc/shadow")
    assert word not in outcome.stdout.decode()
    assert outcome.stderr.count(b"No such file") == 4


async def test_no_search_finds_them(secret):
    outcome = await shell("find / -name '.tts-secret-*' 2>/dev/null")
    assert outcome.stdout == b""


async def test_a_link_leads_nowhere(secret):
    word, files = secret
    links = " ".join(f"ln -s {file} {n}; cat {n};" for n, file in enumerate(files))
    outcome = await shell(f"ln -s / out; {links} ls out/root/.. out{Path.home()}")
    assert word not in outcome.stdout.decode()


async def test_nothing_outside_is_written(tmp_path, secret):
    _, files = secret
    before = [file.stat().st_mtime_ns for file in files]
    places = [*files, tmp_path / "new", "/usr/new", "/etc/new", "/new", "/dev/new", "/dev/shm/new",
              Path(sys.prefix) / "new", "/proc/sys/kernel/core_pattern"]  # fmt: skip
    for place in places:
        outcome = await shell(f"echo x >> {place}")
        assert outcome.code != 0 or str(place).startswith("/tmp/"), place  # there is one inside
    assert [file.stat().st_mtime_ns for file in files] == before
    assert not any(tmp_path.iterdir()) and "new" not in os.listdir("/usr")


async def test_nothing_is_removed_or_remounted(secret):
    _, files = secret
    outcome = await shell(
        f"rm -rf --no-preserve-root /usr/bin {files[0]}; mount -o remount,rw /; umount /usr;"
        " chmod 777 /usr; chroot / true; unshare -r true"
    )
    assert outcome.code != 0 and "env" in os.listdir("/usr/bin") and files[0].exists()


async def test_places_that_are_bound_are_read_only(tmp_path):
    (tmp_path / "kept").write_text("kept")
    tmp_path.chmod(0o755)  # as root, what is inside is nobody
    script = f"cat {tmp_path}/kept; echo x > {tmp_path}/kept; echo x > {tmp_path}/new"
    outcome = await shell(script, binds=(str(tmp_path),))
    assert outcome.stdout == b"kept" and outcome.stderr.count(b"Read-only") == 2
    assert (tmp_path / "kept").read_text() == "kept" and len(list(tmp_path.iterdir())) == 1


async def test_nothing_is_left_of_the_work_folder():
    name = f"left-{secrets.token_hex(8)}"
    outcome = await shell(f"mkdir {name}; echo x > {name}/x; cat {name}/x")
    assert outcome.stdout == b"x\n"
    assert name not in os.listdir(tempfile.gettempdir())
    assert (await shell(f"ls -A /tmp; cat {name}/x")).stdout == b""


def _started(argv):
    return subprocess.Popen(argv)


# --- other processes ----------------------------------------------------------------------------


async def test_other_processes_are_not_seen():
    outcome = await shell("ls /proc | grep -c '^[0-9]*$'; cat /proc/[0-9]*/cmdline")
    assert int(outcome.stdout.split(b"\n")[0]) < 8
    assert b"pytest" not in outcome.stdout


async def test_signals_reach_nobody_outside():
    other = _started(["sleep", "60"])
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        pids = [os.getpid(), os.getppid(), other.pid]
        await shell(f"kill -TERM {' '.join(map(str, pids))}; kill -9 {other.pid} $PPID 1")
        await shell("kill -TERM -1; kill -9 -1; kill -9 0")
        await asyncio.sleep(0.05)
        assert other.poll() is None and not heard
    finally:
        signal.signal(signal.SIGTERM, before)
        other.kill()
        other.wait()


async def test_nobody_can_be_traced():
    program = (
        "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n"
        "for pid in (1, int(input())):\n"
        "    assert c.ptrace(16, pid, 0, 0) == -1\n"
        "    print(ctypes.get_errno())"
    )
    outcome = await python(program, stdin=f"{os.getpid()}\n".encode())
    assert outcome.stdout == b"1\n1\n"  # not permitted


async def test_a_daemon_does_not_outlive_its_parent():
    mark = f"7{secrets.randbelow(10**8):08d}"
    outcome = await shell(f"setsid nohup sleep {mark} >/dev/null 2>&1 & echo started")
    assert outcome.stdout == b"started\n" and outcome.code == 0
    assert await gone(mark)


async def test_a_daemon_that_keeps_the_output_open_does_not_hold_us_up():
    mark = f"8{secrets.randbelow(10**8):08d}"
    outcome = await shell(f"(setsid sleep {mark} &) ; echo started")
    assert (outcome.code, outcome.stdout, outcome.reason) == (0, b"started\n", None)
    assert await gone(mark)


async def test_nothing_is_left_of_a_command_that_was_cancelled():
    mark = f"9{secrets.randbelow(10**8):08d}"
    before = set(os.listdir("/proc/self/fd"))
    for delay in (0, 0.001, 0.003, 0.01, 0.03, 0.3):  # at any moment of its start, too
        task = asyncio.create_task(shell(f"sleep {mark} & sleep {mark}"))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await gone(mark)
    await asyncio.sleep(0.05)
    assert set(os.listdir("/proc/self/fd")) == before


async def test_nothing_is_left_when_we_are_killed():
    mark = f"6{secrets.randbelow(10**8):08d}"
    program = (
        "import asyncio; from tts.sandbox import Limits, Sandbox;"
        f"asyncio.run(Sandbox(Limits(seconds=90)).run(['sleep', '{mark}']))"
    )
    parent = _started([sys.executable, "-c", program])
    for _ in range(400):
        if f"sleep\0{mark}\0".encode() in processes().values():
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the command did not start")
    parent.kill()
    parent.wait()
    assert await gone(mark)


# --- the network, and what was inherited --------------------------------------------------------


@pytest.fixture
def listener():
    """A server on this machine, and who has connected."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            while True:
                try:
                    seen.append(server.accept())
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


async def test_no_network_not_even_to_ourselves(listener):
    port, seen = listener
    for family in ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_VSOCK"):
        outcome = await python(f"import socket; socket.socket(socket.{family})")
        assert b"PermissionError" in outcome.stderr, family
    program = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}')"
    assert (await python(program)).code == 1
    assert (await shell(f"bash -c 'echo x > /dev/tcp/127.0.0.1/{port}'")).code != 0
    assert not seen
    assert b"lo" in (await shell("cat /proc/net/dev")).stdout  # and no other
    assert (await shell("grep -c : /proc/net/dev")).stdout == b"1\n"


async def test_no_secret_is_inherited(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "very-secret")
    outcome = await shell("env; cat /proc/*/environ; cat /proc/*/cmdline")
    assert b"PATH=" in outcome.stdout and b"secret" not in outcome.stdout
    assert b"HF_TOKEN" not in outcome.stdout


async def test_no_open_file_is_inherited(tmp_path):
    fd = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(fd, True)
    try:
        outcome = await Sandbox(PATIENT).run(["sh", "-c", "ls -l /proc/self/fd"])
    finally:
        os.close(fd)
    lines = outcome.stdout.decode().splitlines()[1:]
    kinds = {re.sub(r"[^a-z/]", "", line.split("-> ")[1].split(":")[0]) for line in lines}
    assert kinds == {"/memfd", "pipe", "/proc//fd"}, outcome.stdout


async def test_standard_input_is_read_only():
    outcome = await shell("echo x > /proc/self/fd/0; cat")
    assert outcome.stdout == b"" and b"error" in outcome.stderr


async def test_the_keys_of_the_user_are_out_of_reach():
    program = (
        "import ctypes, errno; c = ctypes.CDLL(None, use_errno=True)\n"
        "for number in {'x86_64': (248, 249, 250), 'aarch64': (217, 218, 219)}[input()]:\n"
        "    assert c.syscall(number, 0, 0, 0, 0, 0) == -1\n"
        "    print(ctypes.get_errno() == errno.EPERM)"
    )
    outcome = await python(program, stdin=os.uname().machine.encode() + b"\n")
    assert outcome.stdout == b"True\n" * 3


# --- bombs --------------------------------------------------------------------------------------

BOMB = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"


async def test_a_fork_bomb_has_as_many_processes_as_it_may():
    limits = Limits(seconds=2, processes=10)
    task = asyncio.create_task(python(BOMB, limits))
    most = 0
    while not task.done():
        await asyncio.sleep(0.02)
        most = max(most, sum(BOMB.encode() in words for words in processes().values()))
    assert task.result().reason == "time"
    # Beside those of the bomb there are up to five of bubblewrap and timeout with it on their line.
    assert 10 <= most <= 15
    assert await gone("os.fork()")


async def test_threads_count_as_processes():
    program = (
        "import threading, time\nn = 0\n"
        "try:\n    while True:\n        threading.Thread(target=time.sleep, args=(9,),"
        " daemon=True).start(); n += 1\n"
        "except RuntimeError:\n    print(n, flush=True)\n    import os; os._exit(0)"
    )
    assert (await python(program, Limits(seconds=60, processes=5))).stdout == b"4\n"


@pytest.mark.parametrize("program", [
    "x = bytearray(8 << 30)",
    "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "import mmap\nx = mmap.mmap(-1, 8 << 30)",
])  # fmt: skip
async def test_one_process_cannot_have_more_memory_than_it_may(program):
    outcome = await python(program, Limits(seconds=60, memory_mib=256))
    assert outcome.code != 0 and outcome.reason is None
    assert b"MemoryError" in outcome.stderr or b"Cannot allocate" in outcome.stderr


async def test_nor_can_many_together():
    program = (
        "import os, time\nfor _ in range(3): os.fork()\n"
        "x = bytearray(os.urandom(1)) * (150 << 20)\ntime.sleep(60)"
    )
    outcome = await python(program, Limits(seconds=60, memory_mib=400))
    assert (outcome.code, outcome.reason) == (None, "memory")


@pytest.mark.parametrize(
    "call", ["os.memfd_create('x')", "ctypes.CDLL(None).shmget(0, 1 << 20, 950)"]
)
async def test_no_memory_that_nobody_counts(call):
    program = f"import ctypes, os\ntry:\n    print({call})\nexcept OSError:\n    print(-1)"
    assert (await python(program)).stdout == b"-1\n"


@pytest.mark.parametrize("script", ["yes", "yes >&2", "cat /dev/zero", "yes & yes >&2"])
async def test_endless_output_is_cut(script):
    before = memory()
    outcome = await shell(script, Limits(seconds=60, output_kib=64))
    assert (outcome.code, outcome.reason) == (None, "output")
    assert len(outcome.stdout) <= 64 << 10 and len(outcome.stderr) <= 64 << 10
    assert max(len(outcome.stdout), len(outcome.stderr)) == 64 << 10
    assert memory() - before < 32 << 20


async def test_output_that_fits_is_whole():
    outcome = await shell("head -c 65536 /dev/zero", Limits(seconds=60, output_kib=64))
    assert (outcome.code, len(outcome.stdout), outcome.reason) == (0, 65536, None)


async def test_the_disk_cannot_be_filled():
    limits = Limits(seconds=60, disk_mib=8)
    script = "for n in 1 2 3; do head -c 6000000 /dev/zero > $n; done; wc -c 1 2 3 | tail -1"
    outcome = await shell(script, limits)
    assert b"No space left" in outcome.stderr
    assert 7 << 20 <= int(outcome.stdout.split()[0]) <= 8 << 20
    outcome = await shell("head -c 100M /dev/zero > x; stat -c %s x", limits)
    assert int(outcome.stdout) <= 8 << 20


async def test_nor_with_files_that_hold_nothing():
    program = "n = 0\nwhile True:\n    open(str(n), 'w').close()\n    n += 1"
    outcome = await python(program, Limits(seconds=60, disk_mib=2))
    assert outcome.reason == "disk"


async def test_a_deaf_process_ends_with_its_time():
    for script in (
        "sleep 100",
        "trap '' TERM INT HUP; while :; do :; done",
        "exec >&- 2>&-; sleep 9",
    ):
        outcome = await shell(script, Limits(seconds=1))
        assert (outcome.code, outcome.reason) == (None, "time"), script


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
async def test_honest_work_is_done():
    source = b'#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n'
    outcome = await Sandbox(PATIENT).run(
        ["sh", "-c", "gcc -O1 -o it src/it.c && ./it && ls"], files={"src/it.c": source}
    )
    assert (outcome.code, outcome.stdout) == (0, b"built\nit\nsrc\n")

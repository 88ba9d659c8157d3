"""What comes of commands in a sandbox, and what is refused beforehand."""

from __future__ import annotations

import posixpath
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.walls import PATIENT, needs_sandbox, shell
from tts.errors import ConfigError, SandboxError
from tts.sandbox import Limits, Sandbox, _bubble, fault_of_machine, is_inside, sandbox


@needs_sandbox
async def test_output_errors_and_the_exit_code_come_back():
    outcome = await shell("echo out; echo err >&2; exit 3")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (3, b"out\n", b"err\n")
    assert outcome.reason is None
    assert (await shell("kill -9 $$")).code == 128 + 9


@needs_sandbox
async def test_files_and_input_are_there():
    outcome = await Sandbox(PATIENT).run(
        ["cat", "a", "b/c", "-"], stdin=b"3", files={"a": b"1", "b/c": b"2" * 300_000}
    )
    assert outcome.stdout == b"1" + b"2" * 300_000 + b"3"
    assert (await Sandbox(PATIENT).run(["sh", "-c", "echo $A"], env={"A": "b"})).stdout == b"b\n"


@needs_sandbox
@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "", "."])
async def test_a_file_stays_in_its_folder(name):
    with pytest.raises(ValueError, match="no name of a file"):
        await Sandbox(PATIENT).run(["true"], files={name: b""})


@given(st.text("a./", max_size=9))
def test_no_name_of_a_file_leads_out(name):
    if is_inside(name):
        inside = posixpath.normpath(posixpath.join("/folder", name))
        assert inside.startswith("/folder/")


@needs_sandbox
async def test_a_command_that_does_not_start_is_a_fault():
    with pytest.raises(SandboxError, match=r"did not start.*no-such.*No such file"):
        await Sandbox(PATIENT).run(["no-such"])
    with pytest.raises(SandboxError, match="did not start"):  # a place that was there before
        box = Sandbox(PATIENT)
        object.__setattr__(box, "binds", ("/no/such/place",))
        await box.run(["true"])
    assert (await shell("exit 127")).code == 127  # said by the command itself


@needs_sandbox
def test_a_command_is_found_where_a_sandbox_sees_it(tmp_path):
    assert Sandbox().find("sh") == shutil.which("sh")
    script = tmp_path / "check"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert Sandbox(binds=(str(tmp_path),)).find(str(script)) == str(script)
    with pytest.raises(ConfigError, match=r"which a sandbox does not see.*binds"):
        Sandbox().find(str(script))
    with pytest.raises(ConfigError, match="There is no command 'no-such'"):
        Sandbox().find("no-such")


@needs_sandbox
@pytest.mark.parametrize("place", ["usr", "/no/such/place"])
def test_a_place_to_bind_must_be_there(place):
    with pytest.raises(ConfigError, match="binds names"):
        Sandbox(binds=(place,))


@pytest.mark.parametrize(
    "limits", [{"seconds": 0}, {"memory_mib": 1}, {"processes": 0}, {"output_kib": 0},
               {"disk_mib": 0}],
)  # fmt: skip
def test_bad_limits(limits):
    with pytest.raises(ConfigError, match=f"limits.{next(iter(limits))} is"):
        Limits(**limits)


# --- machines without one -----------------------------------------------------------------------


@pytest.fixture
def unknown():
    """What is known of the machine is forgotten."""
    fault_of_machine.cache_clear()
    yield
    fault_of_machine.cache_clear()


def test_without_bubblewrap_there_is_no_sandbox(unknown, monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda tool, **_: None)
    with pytest.raises(ConfigError, match=r"bwrap is not installed.*apt install bubblewrap"):
        Sandbox()


def test_nor_where_it_does_not_work(unknown, monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda tool, **_: tool)
    said = subprocess.CompletedProcess([], 1, b"", b'{"a": 1}\nbwrap: No permissions for it\n')
    monkeypatch.setattr(sandbox.subprocess, "run", lambda *_, **__: said)
    with pytest.raises(ConfigError, match=r"does not work \(No permissions for it\).*namespaces"):
        Sandbox()


def test_places_within_others_are_not_named_twice(monkeypatch):
    monkeypatch.setattr(_bubble.sys, "prefix", "/usr/local/venv")
    monkeypatch.setattr(_bubble.sys, "base_prefix", "/opt/python")
    seen = _bubble.visible(["/opt/python/lib", "/opt/lean"])
    assert "/usr" in seen and "/usr/local/venv" not in seen
    assert "/opt/python" in seen and "/opt/python/lib" not in seen and "/opt/lean" in seen

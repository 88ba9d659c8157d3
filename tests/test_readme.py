"""The README's programs run, and its strategy keeps the contract."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tts.testing import check_strategy

README = (Path(__file__).parents[1] / "README.md").read_text()
PROGRAM, STRATEGY = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.engine
def test_the_library_example_runs(tmp_path):
    script = tmp_path / "example.py"
    script.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=240, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.match(r"\d+ for [\d,]+ completion tokens", lines[-29])
    assert len([line for line in lines if re.match(r"p\d+ \S+ \d+$", line)]) == 28


async def test_the_example_strategy_keeps_the_contract():
    namespace: dict[str, object] = {}
    exec(compile(STRATEGY, "README.md", "exec"), namespace)
    await check_strategy(namespace["SecondThoughts"]())

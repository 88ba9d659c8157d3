#!/usr/bin/env bash
# Make requirements/quantize.lock anew from requirements/quantize.in: resolve in a fresh environment,
# held to cpu.lock where llm-compressor lets it, then write down what came out.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$(find_python)" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip)

say "Resolving llm-compressor …"
install_cpu_torch "$work/venv"
# Where the two differ: vLLM wants other versions of these three.
grep -viE '^(#|compressed-tensors==|transformers==|huggingface[-_]hub==)' requirements/cpu.lock >"$work/held.txt"
"${pip[@]}" install -q -c "$work/held.txt" -r requirements/quantize.in
{
    echo "# Made by scripts/lock_quantize.sh from quantize.in; do not edit. Read by tts.quantize."
    "${pip[@]}" freeze --all --exclude torch --exclude pip --exclude uv
} >requirements/quantize.lock
say "requirements/quantize.lock: $(grep -c == requirements/quantize.lock) packages"

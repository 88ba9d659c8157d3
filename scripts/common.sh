# Shared by setup.sh and lock.sh: finding Python, and the CPU build of PyTorch.
# Sourced, never run.

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# Print the first Python that can do the job: 3.11 to 3.13, able to make a virtual environment.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "No usable Python found. Install Python 3.11, 3.12 or 3.13 with its venv module (Debian: apt install python3 python3-venv), or say which: PYTHON=/path/to/python3.11 make setup"
}

# The CPU build of PyTorch is not on the main registry. pip is asked first, with the user's own
# settings (a local wheel, a mirror); else uv, which knows PyTorch's own CPU index by itself.
install_cpu_torch() { # venv
    local pin
    pin=$(grep -v '^#' requirements/cpu-torch.lock)
    if ! "$1/bin/python" -m pip install -q --no-deps "$pin" 2>/dev/null; then
        "$1/bin/python" -m pip install -q uv
        "$1/bin/python" -m uv pip install -q --python "$1/bin/python" --torch-backend=cpu \
            --no-deps "${pin%+cpu}"
    fi
}

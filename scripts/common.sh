# shellcheck shell=bash
# Shared by setup.sh and lock.sh: finding Python, and the CPU build of PyTorch.
# Sourced, never run.

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# Print the first Python that can do the job: 3.11 to 3.13, able to make a virtual environment.
find_python() {
    local candidate
    local candidates=(python3.11 python3.12 python3.13 python3)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    die "No usable Python found (tried: ${candidates[*]}). Install Python 3.11, 3.12 or 3.13 with its venv module (Debian: apt install python3 python3-venv), or say which: PYTHON=/path/to/python3.11 make setup"
}

# What the locked binaries need of the machine, said before anything is fetched.
check_cpu_machine() { # python
    [ "$(uname -sm)" = "Linux x86_64" ] ||
        die "The locked CPU set is for Linux on x86-64; this is $(uname -sm)."
    grep -qw avx2 /proc/cpuinfo ||
        die "The CPU build of vLLM needs a processor with AVX2; this one has none."
    "$1" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null ||
        die "The CPU build of vLLM needs the library libnuma.so.1 (Debian: apt install libnuma1; Fedora: dnf install numactl-libs)."
}

# The CPU build of PyTorch is not on the main registry. pip is asked first, with the user's own
# settings (a local wheel, a mirror); else uv, which knows PyTorch's own CPU index by itself.
install_cpu_torch() { # venv
    local pin said
    pin=$(grep -v '^#' requirements/cpu-torch.lock)
    if ! said=$("$1/bin/python" -m pip install -q --no-deps "$pin" 2>&1); then
        "$1/bin/python" -m pip install -q uv
        "$1/bin/python" -m uv pip install -q --python "$1/bin/python" --torch-backend=cpu \
            --no-deps "${pin%+cpu}" ||
            die "PyTorch's CPU build could not be installed. pip had said: $said"
    fi
}

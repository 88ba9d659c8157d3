"""Runs the pieces of a Python program, and says a secret word once all of it has ended well.

Run in a sandbox as `python -I -c`: one JSON job on standard input. So a program that ends early
with a success has not passed. What the program itself writes goes nowhere. Standard library only.
"""

import json
import os
import sys
import types


def main() -> None:
    """Run the job; never returns."""
    job = json.load(sys.stdin)
    said, nowhere = os.dup(1), os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    try:
        os.write(said, b".")  # ready
        module = types.ModuleType("program")
        sys.modules["program"] = module
        for piece in job["pieces"]:
            exec(compile(piece, "program.py", "exec", dont_inherit=True), module.__dict__)
        os.write(said, job["word"].encode())
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()

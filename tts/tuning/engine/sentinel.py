"""Ends the trials of a search that was killed outright; run by its path, standard library only.

Trials that are not in their turn are stopped (SIGSTOP), and could not end by themselves. Reads
process groups from its standard input, `+GROUP` and `-GROUP` a line, and kills those that are left
when the input ends. It takes no notice of Ctrl-C.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Listen until nobody speaks any more."""
    groups = set()
    for text in sys.stdin:
        sign, number = text[0], int(text[1:])
        if sign == "+":
            groups.add(number)
        else:
            groups.discard(number)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()

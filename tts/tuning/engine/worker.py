"""The child of `tts.tuning.engine.trial`: one engine, and the pieces of the workload it is told.

Run as `python -m tts.tuning.engine.worker DESCRIPTOR`, a socket's on which tasks come and reports
go. The first task makes the workload and starts its engine; each further one is a list of problems.
It ends when the socket is closed.
"""

from __future__ import annotations

import asyncio
import sys
from multiprocessing.connection import Connection

from tts.errors import ConfigError, TTSError
from tts.tuning.engine.workload import Fault, Workload, measure


def main() -> None:
    """Serve one trial."""
    with Connection(int(sys.argv[1])) as line:
        try:
            asyncio.run(_serve(line))
        except (EOFError, OSError):
            return  # whoever asked has gone


async def _serve(line: Connection) -> None:
    maker, settings = await asyncio.to_thread(line.recv)
    try:
        workload: Workload = maker(settings)
        await workload.setup.start()
    except TTSError as error:
        line.send(Fault(_sentence(error), isinstance(error, ConfigError)))
        return
    try:
        line.send(None)
        while True:
            problems = await asyncio.to_thread(line.recv)
            try:
                line.send(await measure(workload, problems))
            except TTSError as error:
                line.send(Fault(_sentence(error), infeasible=False))
    finally:
        await workload.setup.backend.aclose()


def _sentence(error: TTSError) -> str:
    return error.message.splitlines()[0]


if __name__ == "__main__":
    main()

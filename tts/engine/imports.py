"""Inside the fork server: import what an engine on a processor needs, before engines are forked.

See `tts.engine.forking`. Nothing here may start a thread.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
from pathlib import Path

from tts.engine.forking import DONE, READY, TITLE

MODULES = (
    "vllm.v1.engine.core",
    "vllm.v1.executor.uniproc_executor",
    "vllm.v1.worker.cpu_worker",
    "vllm.v1.worker.cpu_model_runner",
)
"""Those that the rest follows from."""


def main() -> None:
    """Import everything and say so, or why not."""
    said = DONE
    try:
        for module in MODULES:
            importlib.import_module(module)
    except Exception as error:  # an engine that is spawned will say it better
        said = f"{type(error).__name__}: {error}"
    # Asked for here, as a fork whose variables have been replaced cannot give itself one any more.
    with contextlib.suppress(ImportError):
        from setproctitle import setproctitle

        setproctitle(TITLE)
    gc.collect()
    gc.freeze()  # pages that no collection writes to are shared with the forks
    # The server has nothing to clean up, and libraries complain of each other when it does.
    atexit.register(os._exit, 0)
    if ready := os.environ.pop(READY, None):
        part = Path(ready + ".part")
        part.write_text(said)
        part.replace(ready)


main()

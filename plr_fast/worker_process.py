"""Starting worker processes that are fresh interpreters, and telling how one ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Any

_CODE = "import sys; sys.path[:] = {path!r}; from {module} import main; main({descriptor})"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")


def start_worker(
    module: str, *, threads: int = 1, environment: dict[str, str] | None = None, log: IO[bytes] | None = None
) -> tuple[subprocess.Popen[bytes], Connection[Any, Any]]:
    """A process that calls ``main(descriptor)`` of ``module``, and our end of the connection to it.

    A fresh interpreter: nothing is forked, and nothing of the main script runs again.

    Args:
        module: its full name.
        threads: for the libraries that take their number from the environment.
        environment: more variables.
        log: where its output goes; default: where this process's goes.
    """
    ours, theirs = Pipe()
    descriptor = theirs.fileno()
    # Ctrl-C and a batch system's SIGTERM reach all processes at once; only the parent decides what becomes of them.
    # A worker inherits what is blocked, hence has no moment in which they could hit it unprepared.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE.format(path=sys.path, module=module, descriptor=descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(descriptor,),
            env=os.environ | dict.fromkeys(_THREADS, str(threads)) | (environment or {}),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    return process, ours


def how_it_ended(code: int) -> str:
    """What became of a process with this return code: ``was killed by signal 9 (SIGKILL)``, ``ended with status 1``."""
    return f"was killed by signal {-code} ({_signal_name(-code)})" if code < 0 else f"ended with status {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"

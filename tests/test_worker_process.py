"""Worker processes: fresh interpreters that are told the number of threads, and how they ended."""

from __future__ import annotations

import signal

import pytest

from plr_fast.worker_process import how_it_ended, start_worker

WORKER = """
import os
from multiprocessing.connection import Connection

def main(descriptor):
    with Connection(descriptor) as connection:
        names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MINE")
        connection.send([connection.recv(), *(os.environ[name] for name in names)])
        connection.send(connection.recv())
"""


def test_it_runs_the_module_with_its_threads_and_environment(tmp_path, monkeypatch) -> None:
    (tmp_path / "a_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path)
    process, connection = start_worker("a_worker", threads=3, environment={"MINE": "x"})
    with process, connection:
        connection.send("heard")
        assert connection.poll(60)
        assert connection.recv() == ["heard", "3", "3", "x"]
        # A terminal's Ctrl-C reaches it, too, and must not end it: the parent decides.
        process.send_signal(signal.SIGINT)
        connection.send("still there")
        assert connection.poll(60)
        assert connection.recv() == "still there"
    process, connection = start_worker("a_worker")
    with process, connection:
        process.kill()
        assert how_it_ended(process.wait()) == "was killed by signal 9 (SIGKILL)"


@pytest.mark.parametrize(
    ("code", "says"), [(3, "ended with status 3"), (-15, "was killed by signal 15 (SIGTERM)"), (-99, "signal 99 (unk")]
)
def test_how_it_ended(code, says) -> None:
    assert says in how_it_ended(code)

"""Entry point: find the subcommand, let tyro read its options, run it, and turn errors into one clear line.

Subcommands are imported when they are called, so that ``plr-fast --help`` answers at once.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple, NoReturn

from .._version import __version__

DEBUG_VARIABLE = "PLR_FAST_DEBUG"
FAILED, USAGE, SIGNALLED = 1, 2, 128


class Command(NamedTuple):
    """Where a subcommand lives: a module of ``plr_fast.cli`` with ``main(arguments: list[str]) -> int``."""

    module: str
    summary: str


COMMANDS = {
    "demo": Command("demo", "the whole recipe on the built-in phantom, or on your slices: pretrain to report"),
    "prepare": Command("prepare", "make a slice store from pictures in class folders, a manifest, or the phantom"),
    "resplit": Command("resplit", "the same slices in other splits: for repeats, or slice by slice as in the paper"),
    "generate": Command("generate", "write noise, lesion patches or pseudo-lesion pictures to a folder"),
    "pretrain": Command("pretrain", "train a U-Net to remove pseudo lesions from normal slices"),
    "finetune": Command("finetune", "train a classifier, from a pretrained encoder or from scratch"),
    "evaluate": Command("evaluate", "metrics with intervals, pictures and a self-contained report"),
    "experiment": Command("experiment", "methods × label fractions × repeats × data sets: train, judge, compare"),
    "likeness": Command("likeness", "how near pseudo lesions are to real ones: the paper's table III, with controls"),
    "config": Command("config", "list, show and compare named configs; other commands take them as --config NAME"),
    "doctor": Command("doctor", "versions, backends, threads, GPU, and why something is missing"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``plr-fast`` with ``arguments`` (default: the process's own) and return the exit status.

    0 is success, 1 a failure that was explained, 2 a wrong command line, 128 + n the end by signal n (130: Ctrl-C).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ("--version", "-V"):
        sys.stdout.write(f"plr-fast {__version__}\n")
        return 0
    if not given or given[0] in ("--help", "-h"):
        sys.stdout.write(overview())
        return 0 if given else USAGE
    name, *rest = given
    if name not in COMMANDS:
        sys.stderr.write(f"plr-fast: unknown command {name!r}; choose one of {', '.join(COMMANDS)}\n")
        return USAGE
    # OpenMP threads that spin while they wait steal the time of those that work, and on a machine with other work that
    # makes training several times slower. torch's runtime reads this when it is loaded, which is still to come.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with terminable():
            module = importlib.import_module(f".{COMMANDS[name].module}", __package__)
            return int(module.main(rest))
    except KeyboardInterrupt as interruption:
        if not getattr(interruption, "silent", False):  # of the processes of one run only one speaks
            sys.stderr.write("\nplr-fast: interrupted\n")
        # As a shell counts: 130 after Ctrl-C, 143 after SIGTERM, which a training run tells apart.
        return SIGNALLED + int(getattr(interruption, "signal", signal.SIGINT))
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return explain(name, error)


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """What the command ``plr-fast`` calls: :func:`main`, then the end of the process."""
    try:
        status = main(arguments)
    except Exception:
        if not _one_of_many():
            raise
        traceback.print_exc()
        status = FAILED
    if _one_of_many():
        # Taking the process group apart may wait for ever: its threads want the lock that the interpreter holds while
        # it ends, and the interpreter waits for its threads. All is saved and closed by now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise SystemExit(status)


def _one_of_many() -> bool:
    """Whether this process was one of several of a training run."""
    ranks = sys.modules.get("plr_fast.training.ranks")
    return ranks is not None and ranks.met_others()


class Terminated(KeyboardInterrupt):
    """SIGTERM, which batch systems send; a ``KeyboardInterrupt``, so that all work cleans up as after Ctrl-C."""

    signal = signal.SIGTERM


@contextmanager
def terminable() -> Iterator[None]:
    """Context in which SIGTERM raises :class:`Terminated` (in the main thread, where Python allows it)."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def overview() -> str:
    """Return the help of the command as a whole."""
    width = max(map(len, COMMANDS))
    lines = "".join(f"  {name:<{width}}  {command.summary}\n" for name, command in COMMANDS.items())
    return (
        "usage: plr-fast COMMAND [OPTIONS]\n\n"
        "Pseudo lesions at the speed of memory, and the PLR recipe around them.\n"
        "Research only; not a medical device, not for clinical use.\n\n"
        f"commands:\n{lines}\n"
        "plr-fast COMMAND --help explains the options; plr-fast --version tells the version.\n"
        "To see the whole recipe at work: plr-fast demo\n"
    )


def explain(name: str, error: Exception) -> int:
    """Say in one line what went wrong; with ``PLR_FAST_DEBUG=1``, or for errors nobody foresaw, show the traceback."""
    from ..errors import PlrFastError

    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):  # torch's MemoryError
        error = MemoryError(f"out of memory: {str(error).splitlines()[0]}; make batches, slices or widths smaller")
    # Wrong values, files and sizes are the user's to mend and their messages say how; the rest are our bugs.
    foreseen = isinstance(error, (PlrFastError, OSError, ValueError, TypeError, MemoryError))
    if os.environ.get(DEBUG_VARIABLE) == "1" or not foreseen:
        raise error
    if getattr(error, "silent", False):  # another process of the same run has said it
        return FAILED
    if isinstance(error, OSError) and error.filename is not None and not isinstance(error, PlrFastError):
        message = f"{error.filename}: {error.strerror}"  # without Python's "[Errno 2]"
    else:
        message = str(error) or type(error).__name__
    sys.stderr.write(f"plr-fast {name}: {message}\n")
    if not isinstance(error, (PlrFastError, OSError, MemoryError)):
        sys.stderr.write(f"({DEBUG_VARIABLE}=1 shows where)\n")
    return FAILED

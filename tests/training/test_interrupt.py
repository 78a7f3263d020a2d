"""Signals: the first is noted, the second acts, the handlers are put back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from plr_fast.training.interrupt import InterruptGuard, shield_worker


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_noted_only(number: signal.Signals) -> None:
    seen: list[int] = []
    before = signal.getsignal(number)
    with InterruptGuard(seen.append) as guard:
        assert guard.received is None
        os.kill(os.getpid(), number)
        assert guard.received == number
        assert seen == [number]
    assert signal.getsignal(number) is before


def test_second_ctrl_c_ends_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), InterruptGuard() as guard:  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert guard.received == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal did not act")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_does_nothing_outside_the_main_thread() -> None:
    before = signal.getsignal(signal.SIGINT)
    failures: list[BaseException] = []

    def body() -> None:
        try:
            with InterruptGuard() as guard:
                assert guard.received is None
                assert signal.getsignal(signal.SIGINT) is before
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert failures == []


def test_signals_soon_after_the_first_are_the_same_one() -> None:
    with InterruptGuard(merge=60.0) as guard:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        assert guard.received == signal.SIGINT


def test_workers_ignore_a_signal_to_all_but_can_be_terminated() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        shield_worker(0)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])

"""Which instruction set runs: the best, or the one that PLR_FAST_ISA pins; the doctor says which, and what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.backends.processes import require, run

DOCTOR = "import sys; from plr_fast.cli.main import main; sys.exit(main(['doctor', '--json']))"


@pytest.fixture
def tiers() -> dict[str, bool]:
    """Return the instruction sets in this build, best first, and whether this CPU has them."""
    require("native")
    from plr_fast import _native

    return dict(_native.tiers())


def examine(status: int, **environment: str) -> tuple[dict[str, Any], str]:
    """Return what the doctor reports, and what it says about the native backend."""
    done = run(DOCTOR, PLR_FAST_BACKEND="native", **environment)
    assert done.returncode == status, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts, next(row["detail"] for row in facts["backends"] if row["name"] == "native")


def test_the_best_one_is_chosen(tiers: dict[str, bool]) -> None:
    best = next(name for name, supported in tiers.items() if supported)
    facts, native = examine(0, PLR_FAST_ISA="")
    assert f"instruction set {best} " in native
    assert facts["self-test"] == "passed"


def test_any_one_can_be_pinned_and_the_doctor_shows_it(tiers: dict[str, bool]) -> None:
    assert tiers["baseline"], "runs everywhere"
    for name, supported in tiers.items():
        if not supported:
            continue
        facts, native = examine(0, PLR_FAST_ISA=name)
        assert f"instruction set {name} " in native
        assert all(other in native for other, here in tiers.items() if here), "it also names the others"
        assert facts["environment"]["PLR_FAST_ISA"] == name
        assert facts["self-test"] == "passed"


def test_an_unknown_one_is_an_error_that_names_the_known(tiers: dict[str, bool]) -> None:
    message = f"PLR_FAST_ISA: unknown instruction set 'mmx': this build has {', '.join(tiers)}"
    facts, native = examine(1, PLR_FAST_ISA="mmx")
    assert message in native
    assert facts["self-test"] == f"failed: {message}"
    for operation in ("perlin_noise((1, 4, 4))", "LesionBank.generate(4, 2, 32)"):
        failed = run(f"import plr_fast; plr_fast.{operation}", PLR_FAST_ISA="mmx", PLR_FAST_BACKEND="native")
        assert failed.returncode != 0
        assert failed.stderr.splitlines()[-1] == f"ValueError: {message}"


def test_one_that_this_cpu_lacks_is_an_error_that_names_the_need(tiers: dict[str, bool]) -> None:
    missing = [name for name, supported in tiers.items() if not supported]
    if not missing:
        pytest.skip("this CPU has all instruction sets of this build")
    failed = run(
        "import plr_fast; plr_fast.perlin_noise((1, 4, 4))", PLR_FAST_ISA=missing[0], PLR_FAST_BACKEND="native"
    )
    assert failed.returncode != 0
    assert f"PLR_FAST_ISA: instruction set '{missing[0]}' needs " in failed.stderr
    assert "which this CPU does not have" in failed.stderr


def test_selecting_inside_a_process(tiers: dict[str, bool]) -> None:
    from plr_fast import _native

    for name, supported in tiers.items():
        if supported:
            _native.select_tier(name)
            assert _native.tier() == name
    with pytest.raises(ValueError, match="unknown instruction set 'AVX2'"):
        _native.select_tier("AVX2")
    assert _native.tier() == [name for name, supported in tiers.items() if supported][-1], "an error changes nothing"

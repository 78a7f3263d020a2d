"""Which backend runs: the choice, its reasons, and the errors of asking for what is not there."""

from __future__ import annotations

import inspect
import sys

import pytest

import plr_fast
from plr_fast.backends import get_backend, registry
from plr_fast.backends.specs import Backend
from tests.backends.processes import run

OPERATIONS = [name for name, value in vars(Backend).items() if inspect.isfunction(value) and not name.startswith("_")]


@pytest.mark.parametrize("name", ["native", "numba", "reference"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_backends_have_the_same_signatures(name: str, operation: str) -> None:
    if name == "native":
        pytest.importorskip("plr_fast._native")
    assert inspect.signature(getattr(get_backend(name), operation)) == inspect.signature(
        getattr(Backend, operation)
    ).replace(parameters=list(inspect.signature(getattr(Backend, operation)).parameters.values())[1:])


def test_unknown_backend_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"unknown backend 'cuda9'; choose one of native, numba"):
        plr_fast.use_backend("cuda9")


def test_missing_backend_is_an_error_that_names_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plr_fast._native", None)
    monkeypatch.delattr(plr_fast, "_native", raising=False)
    monkeypatch.delitem(sys.modules, "plr_fast.backends.native", raising=False)
    registry._load.cache_clear()
    try:
        with pytest.raises(plr_fast.BackendUnavailableError, match="C\\+\\+17 compiler"):
            plr_fast.use_backend("native")
        rows = {info.name: info for info in plr_fast.backends()}
        assert not rows["native"].available
        assert rows["numba"].active, "without the extension, Numba is chosen"
        assert "compiler" in rows["native"].detail
    finally:
        monkeypatch.undo()
        registry._load.cache_clear()


def test_a_fallback_that_nobody_asked_for_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plr_fast._native", None)
    monkeypatch.delattr(plr_fast, "_native", raising=False)
    monkeypatch.delitem(sys.modules, "plr_fast.backends.native", raising=False)
    for cached in (registry._load, registry._say_fallback):
        cached.cache_clear()
    try:
        with pytest.warns(plr_fast.BackendFallbackWarning, match="same results, more slowly"):
            plr_fast.perlin_noise((1, 4, 4))
        plr_fast.perlin_noise((1, 4, 4))  # a second warning would be an error here
        registry._say_fallback.cache_clear()
        plr_fast.use_backend("numba")
        plr_fast.perlin_noise((1, 4, 4))  # asked for: nothing to say
    finally:
        monkeypatch.undo()
        for cached in (registry._load, registry._say_fallback):
            cached.cache_clear()


def test_kernels_compile_where_nothing_can_be_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    from plr_fast.backends.numba import core

    real = core.numba.njit

    def njit(**options: object) -> object:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(core.numba, "njit", njit)
    assert core.jit(lambda x: x + 1)(1) == 2


def test_reference_is_never_chosen_by_itself() -> None:
    last = [info for info in plr_fast.backends() if info.device == "cpu"][-1]
    assert last.name == "reference"
    assert not last.active


def test_environment_variable_chooses() -> None:
    code = "import plr_fast; print([b.name for b in plr_fast.backends() if b.active])"
    assert run(code, PLR_FAST_BACKEND="numba").stdout.strip() == "['numba']"
    failed = run("import plr_fast; plr_fast.perlin_noise((1, 4, 4))", PLR_FAST_BACKEND="fortran")
    assert failed.returncode != 0
    assert "unknown backend 'fortran'" in failed.stderr


def test_import_is_light() -> None:
    code = "import sys, plr_fast, plr_fast.ops; print(sorted(m for m in sys.modules if '.' not in m))"
    loaded = eval(run(code).stdout)
    heavy = {"numba", "scipy", "skimage", "sklearn", "lightning_fabric", "matplotlib", "tyro", "pandas", "torchvision"}
    assert not heavy.intersection(loaded), "import plr_fast loads only NumPy and torch"

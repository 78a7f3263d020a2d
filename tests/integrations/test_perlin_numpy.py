"""The functions of perlin-numpy: beside the library itself where it is installed, and properties without it."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from plr_fast import integrations, perlin_noise
from plr_fast.integrations.perlin_numpy import (
    generate_fractal_noise_2d,
    generate_fractal_noise_3d,
    generate_perlin_noise_2d,
    generate_perlin_noise_3d,
    interpolant,
)

NAMES = [name for name in integrations.__all__ if name.startswith("generate_")]


@pytest.fixture
def library() -> Any:
    return pytest.importorskip("perlin_numpy", reason="needs perlin-numpy: pip install perlin-numpy")


@pytest.mark.parametrize("name", NAMES)
def test_signatures_are_the_librarys(library: Any, name: str) -> None:
    theirs, ours = (inspect.signature(getattr(module, name)).parameters for module in (library, integrations))
    assert list(ours) == list(theirs)
    for parameter, expected in theirs.items():
        default = ours[parameter].default
        if parameter == "interpolant":
            at = np.linspace(0, 1, 33)
            np.testing.assert_allclose(default(at), expected.default(at), atol=1e-12)
        else:
            assert default == expected.default


FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("generate_perlin_noise_2d", {"shape": (64, 64), "res": (8, 8)}),
    ("generate_fractal_noise_2d", {"shape": (64, 96), "res": (4, 2), "octaves": 4, "persistence": 0.7}),
    ("generate_perlin_noise_3d", {"shape": (16, 24, 32), "res": (2, 3, 4)}),
    ("generate_fractal_noise_3d", {"shape": (16, 16, 32), "res": (2, 2, 4), "octaves": 3, "lacunarity": 2}),
]


@pytest.mark.parametrize(("name", "kwargs"), FIELDS)
def test_values_are_distributed_as_the_librarys(library: Any, name: str, kwargs: dict[str, Any]) -> None:
    """Same kind of array, and the same mean, spread and extremes over many fields."""
    np.random.seed(0)
    theirs, ours = (
        np.array([getattr(module, name)(**kwargs) for _ in range(40)]) for module in (library, integrations)
    )
    assert ours.dtype == theirs.dtype == np.float64
    assert ours.shape == theirs.shape
    assert abs(ours.mean()) < 0.02
    assert abs(theirs.mean()) < 0.02
    # In space the gradients differ: ours are spread evenly, theirs crowd at the poles.
    tolerance = 0.04 if name.endswith("2d") else 0.08
    assert ours.std() == pytest.approx(theirs.std(), rel=tolerance)
    np.testing.assert_allclose(
        np.quantile(ours, [0.01, 0.1, 0.9, 0.99]), np.quantile(theirs, [0.01, 0.1, 0.9, 0.99]), rtol=0.1
    )


def test_the_librarys_interpolant_is_taken(library: Any) -> None:
    from perlin_numpy.perlin2d import interpolant as theirs

    np.random.seed(1)
    first = generate_perlin_noise_2d((16, 16), (4, 4), interpolant=theirs)
    np.random.seed(1)
    np.testing.assert_array_equal(generate_perlin_noise_2d((16, 16), (4, 4)), first)


def test_scale() -> None:
    """One octave lies within its amplitude; octaves are summed without normalising."""
    np.random.seed(0)
    state = np.random.get_state()
    noise = generate_fractal_noise_2d((50, 70), (4, 6), octaves=3, persistence=0.8, lacunarity=3)
    np.random.set_state(state)
    high, low = np.random.uniform(size=2)
    seed = (int(high * 2**31) << 32) | int(low * 2**32)
    plain = perlin_noise((1, 50, 70), cells=(4, 6), octaves=3, persistence=0.8, lacunarity=3, seed=seed)[0].numpy()
    np.testing.assert_allclose(noise, plain.astype(np.float64) * (1 + 0.8 + 0.64), rtol=1e-12)
    # Like the library's, the noise is zero on the lattice.
    single = generate_perlin_noise_2d((64, 64), (4, 8))
    assert np.abs(single[::16, ::8]).max() < 1e-6
    assert 0.5 < np.abs(single).max() <= 1
    assert np.abs(generate_perlin_noise_3d((32, 32, 32), (4, 4, 4))).max() <= np.sqrt(3) / 2


@pytest.mark.parametrize("tileable", [(True, True), (True, False), (False, True), (False, False)])
def test_tiles_where_asked(tileable: tuple[bool, bool]) -> None:
    """Steps across the seam are as small as elsewhere exactly along the axes that tile."""
    np.random.seed(3)
    noise = generate_fractal_noise_2d((128, 128), (4, 4), octaves=2, tileable=tileable)
    for axis, wanted in enumerate(tileable):
        inside = np.abs(np.diff(noise, axis=axis)).max()
        seam = np.abs(np.take(noise, 0, axis) - np.take(noise, -1, axis)).max()
        assert (seam <= inside) == wanted


def test_tiles_in_space() -> None:
    np.random.seed(3)
    noise = generate_fractal_noise_3d((32, 48, 64), (2, 3, 4), tileable=(False, True, False))
    seams = [np.abs(np.take(noise, 0, axis) - np.take(noise, -1, axis)).max() for axis in range(3)]
    insides = [np.abs(np.diff(noise, axis=axis)).max() for axis in range(3)]
    assert [seam <= inside for seam, inside in zip(seams, insides, strict=True)] == [False, True, False]


def test_shapes_that_the_library_refuses() -> None:
    assert generate_fractal_noise_2d((37, 101), (3, 2.5), octaves=5).shape == (37, 101)


@pytest.mark.parametrize(
    "rng", [None, np.random.RandomState, np.random.default_rng], ids=["global", "RandomState", "Generator"]
)
def test_seeding(rng: Any) -> None:
    def fields() -> list[np.ndarray]:
        if rng is None:
            np.random.seed(5)
        kwargs = {} if rng is None else {"rng": rng(5)}
        return [generate_perlin_noise_2d((16, 16), (4, 4), **kwargs) for _ in range(3)]

    first = fields()
    np.testing.assert_array_equal(first, fields())
    assert not np.array_equal(first[0], first[1])
    if rng is not None:
        state = np.random.get_state()[1].copy()
        fields()
        np.testing.assert_array_equal(np.random.get_state()[1], state, err_msg="the global state is left alone")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"interpolant": lambda t: t}, "interpolant must be the quintic"),
        ({"shape": (8, 8, 8)}, "shape must have 2 entries, one for each axis, not \\(8, 8, 8\\)"),
        ({"res": (2,)}, "res must have 2 entries"),
        ({"res": 3}, "res must have 2 entries, one for each axis, not 3"),
        ({"tileable": (True,)}, "tileable must have 2 entries"),
        ({"res": (2.5, 2), "tileable": (True, False)}, "tileable noise needs whole cells"),
        ({"octaves": 0}, "octaves"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate_fractal_noise_2d(**{"shape": (8, 8), "res": (2, 2), **kwargs})


def test_a_generator_that_is_none_is_named() -> None:
    with pytest.raises(TypeError, match="rng must be a NumPy Generator or RandomState, or None, not int"):
        generate_fractal_noise_2d((8, 8), (2, 2), rng=3)


def test_the_interpolant_is_the_quintic() -> None:
    at = np.linspace(0, 1, 9)
    np.testing.assert_allclose(interpolant(at), 6 * at**5 - 15 * at**4 + 10 * at**3)

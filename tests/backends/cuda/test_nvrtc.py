"""NVRTC compiles the kernels' text as it is shipped: what the CuPy backend does on its first use. No GPU is needed."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import re
from pathlib import Path

import pytest

from plr_fast.backends.cuda import sources
from plr_fast.backends.cuda.cupy_launcher import OPTIONS


def library() -> ctypes.CDLL:
    """Return NVRTC: of its own package (``pip install nvidia-cuda-nvrtc``), or of a CUDA toolkit."""
    places: list[str] = []
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or [] if spec is not None else []:
        places += map(str, sorted(Path(folder).glob("*/lib/libnvrtc.so.*[0-9]")))
    for place in (*places, "libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so"):
        with contextlib.suppress(OSError):
            return ctypes.CDLL(place)
    pytest.skip("NVRTC is not here: pip install nvidia-cuda-nvrtc")


def compiled(unit: str, architecture: str) -> str:
    """Return the PTX of a unit."""
    nvrtc = library()
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert (
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), sources.unit_source(unit).encode(), b"unit.cu", 0, None, None)
        == 0
    )
    folders = (f"-I{folder}" for folder in sources.include_folders())
    options = [option.encode() for option in (*OPTIONS, f"--gpu-architecture={architecture}", *folders)]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert status == 0, log.value.decode()
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, text)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return text.value.decode()


def test_every_kernel_has_a_unit() -> None:
    host = pytest.importorskip("plr_fast._cuda_host", reason="needs the host launcher")
    assert sources.kernel_units() == {name: unit for name, (unit, _threads, _bytes) in host.kernels().items()}


@pytest.mark.parametrize("unit", sources.UNITS)
def test_units_compile(unit: str) -> None:
    text = compiled(unit, "compute_80")
    found = dict(zip(re.findall(r"\.entry plr_(\w+)", text), re.findall(r"\.maxntid (\d+)", text), strict=True))
    assert found.keys() == {name for name, its in sources.kernel_units().items() if its == unit}
    host = pytest.importorskip("plr_fast._cuda_host", reason="needs the host launcher")
    # The bound is what the CuPy backend takes for the threads of a block.
    assert {name: int(bound) for name, bound in found.items()} == {name: host.kernels()[name][1] for name in found}
    assert not re.search(r"fma\.rn\.f64|mad\.f", text), "contraction is off"


def test_caches_see_changed_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in sources.FOLDERS:
        (tmp_path / folder).mkdir()
        for path in (sources.source_root() / folder).iterdir():
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    before = sources.fingerprint()
    monkeypatch.setattr(sources, "source_root", lambda: tmp_path)
    sources.fingerprint.cache_clear()
    try:
        assert sources.fingerprint() == before, "names and text count, not the place"
        header = tmp_path / "core" / "philox.h"
        header.write_text(header.read_text() + "// changed\n")
        sources.fingerprint.cache_clear()
        assert sources.fingerprint() != before
    finally:
        monkeypatch.undo()
        sources.fingerprint.cache_clear()

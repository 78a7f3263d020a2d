"""What is said where there is no GPU, or something is wrong with it: simulated, so that it can be tested anywhere."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import plr_fast
from plr_fast import BackendUnavailableError, DeviceMemoryError
from plr_fast.backends import active_name, get_backend, registry
from plr_fast.backends.cuda import cupy_launcher, extension
from plr_fast.backends.cuda.launch import Launch
from plr_fast.backends.cuda.memory import TorchMemory
from plr_fast.cli import doctor
from plr_fast.ops import homes
from plr_fast.ops.home_devices import TorchHome
from tests.backends.processes import run

OLD_DRIVER = "counting CUDA devices: cudaErrorInsufficientDriver (CUDA driver version is insufficient); install a newer"


@pytest.fixture(autouse=True)
def fresh_registry() -> Iterator[None]:
    registry._load.cache_clear()
    yield
    registry._load.cache_clear()


def extension_module(**changes: Any) -> ModuleType:
    module = ModuleType("plr_fast._cuda")
    vars(module).update(
        architectures="80-real 90",
        device_count=lambda: 1,
        device=lambda i: ("H", (9, 0), 132),
        versions=lambda: (13000, 12080),
        kernels=lambda: {"noise_setup": ("noise", 256, 800)},
        multiprocessors=lambda i: 132,
        **changes,
    )
    return module


def use_extension(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    module = extension_module()
    vars(module).update(changes)
    monkeypatch.setitem(sys.modules, "plr_fast._cuda", module)
    monkeypatch.setattr(plr_fast, "_cuda", module, raising=False)


def failing(error: Exception) -> Any:
    def call(*_args: Any, **_settings: Any) -> Any:
        raise error

    return call


def detail(name: str) -> str:
    row = next(info for info in plr_fast.backends() if info.name == name)
    assert row.device == "cuda"
    assert not row.available
    assert not row.active
    return row.detail


def test_extension_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plr_fast._cuda", None)
    assert "no compiled CUDA kernels" in detail("cuda") or "cannot be loaded" in detail("cuda")
    assert "PLR_FAST_CUDA=1 shows what fails" in detail("cuda")
    with pytest.raises(BackendUnavailableError, match="backend 'cuda' is not available"):
        plr_fast.use_backend("cuda")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device_count": failing(RuntimeError(OLD_DRIVER))}, "no GPU can be used: .*cudaErrorInsufficientDriver"),
        ({"device_count": lambda: 0}, "no GPU here, or CUDA_VISIBLE_DEVICES hides it"),
        ({"device": lambda i: ("V", (7, 0), 80)}, "compiled for the architectures 80-real 90, and this GPU is of 70"),
    ],
)
def test_extension_unusable(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str) -> None:
    use_extension(monkeypatch, **changes)
    with pytest.raises(BackendUnavailableError, match=message):
        plr_fast.use_backend("cuda")


def test_extension_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    use_extension(monkeypatch)
    row = next(info for info in plr_fast.backends() if info.name == "cuda")
    assert row.available
    assert row.active
    assert row.detail == "CUDA kernels compiled for 80-real 90, CUDA 12.8, driver for CUDA 13.0: H (9.0)"


@pytest.mark.parametrize(
    ("architectures", "capability", "expected"),
    [
        ("80-real 90-real 100", (9, 0), True),
        ("80-real 90-real 100", (8, 9), True),  # machine code of a smaller minor version
        ("80-real 90-real 100", (12, 0), True),  # the text of the newest
        ("80-real", (9, 0), False),
        ("86-real", (8, 0), False),
        ("90-virtual", (9, 0), True),
        ("90a-real", (9, 0), True),
        ("", (9, 0), False),
    ],
)
def test_architectures(architectures: str, capability: tuple[int, int], expected: bool) -> None:
    assert extension.runs_on(architectures, capability) is expected


def cupy_module(**changes: Any) -> ModuleType:
    module = ModuleType("cupy")
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 2, getDevice=lambda: 0, setDevice=lambda i: None, free=lambda p: None,
        getDeviceProperties=lambda i: {"name": b"H"},
    )  # fmt: skip
    cuda = SimpleNamespace(runtime=runtime, nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)), driver=SimpleNamespace())
    vars(module).update(__version__="14.2", cuda=cuda)
    for name, value in changes.items():
        place: Any = module
        *path, last = name.split("__")
        for part in path:
            place = getattr(place, part)
        setattr(place, last, value)
    return module


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (None, r"CuPy is not installed; pip install 'cupy-cuda1\dx\[ctk\]'"),
        (
            cupy_module(cuda__runtime__getDeviceCount=failing(ImportError("libcudart.so.11.0: cannot open"))),
            r"CuPy 14.2 is installed but finds no usable GPU \(libcudart.so.11.0: cannot open\): it must be the one",
        ),
        (cupy_module(cuda__runtime__getDeviceCount=lambda: 0), "CUDA_VISIBLE_DEVICES hides it"),
        (
            cupy_module(cuda__nvrtc__getVersion=failing(RuntimeError("CuPy failed to load libnvrtc.so.13: OSError"))),
            r"finds no NVRTC, which compiles the kernels \(CuPy failed to load libnvrtc.so.13",
        ),
    ],
    ids=["missing", "another CUDA", "no GPU", "no NVRTC"],
)
def test_cupy_unusable(monkeypatch: pytest.MonkeyPatch, module: ModuleType | None, message: str) -> None:
    if module is None:
        monkeypatch.setitem(sys.modules, "cupy", None)
        if "cannot" not in detail("cupy"):  # None in sys.modules says ModuleNotFoundError with the name
            assert "CuPy is not installed" in detail("cupy")
    else:
        monkeypatch.setitem(sys.modules, "cupy", module)
    with pytest.raises(BackendUnavailableError, match=message):
        plr_fast.use_backend("cupy")


def test_package_of_cupy_fits_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, package in (("12.8", "cupy-cuda12x[ctk]"), ("13.0", "cupy-cuda13x[ctk]"), (None, "cupy-cuda13x[ctk]")):
        monkeypatch.setattr(torch.version, "cuda", version)
        assert cupy_launcher.package() == package


def test_cupy_compiles_once_and_launches_what_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compiles a unit once, for good; chooses the device; hands over the very bytes of the parameters."""

    class Params(ctypes.Structure):
        _fields_ = (("a", ctypes.c_int64), ("b", ctypes.c_int32))

    calls: list[Any] = []
    compiled: list[Any] = []
    loaded: list[bytes] = []
    current = [0]

    def launch_kernel(*args: Any) -> None:
        argument = ctypes.cast(args[9], ctypes.POINTER(ctypes.c_void_p))[0]
        params = Params.from_address(argument)
        calls.append((current[0], *args[:9], params.a, params.b))

    module = cupy_module(
        cuda__runtime__getDevice=lambda: current[0],
        cuda__runtime__setDevice=lambda i: current.__setitem__(0, i),
        cuda__driver__launchKernel=launch_kernel,
        cuda__driver__funcGetAttribute=lambda attribute, function: 128 if (attribute, function) == (0, 99) else -1,
        cuda__nvrtc__createProgram=lambda source, name, headers, names: source,
        cuda__nvrtc__compileProgram=lambda program, options: compiled.append((program, options)),
        cuda__nvrtc__getCUBIN=lambda program: b"machine code",
        cuda__nvrtc__destroyProgram=lambda program: None,
        cuda__Device=lambda i: SimpleNamespace(compute_capability="90"),
        cuda__function=SimpleNamespace(
            Module=lambda: SimpleNamespace(load=loaded.append, get_function=lambda name: SimpleNamespace(ptr=99))
        ),
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setenv("PLR_FAST_CACHE", str(tmp_path / "kept"))
    launcher = cupy_launcher.load()
    assert launcher.threads("pack_rows", 1) == 128
    for _ in range(2):
        launcher.launch(Launch("pack_rows", (5, 2, 1), Params(2**40, -3)), 1, 2**45)
    assert calls == [(1, 99, 5, 2, 1, 128, 1, 1, 0, 2**45, 2**40, -3)] * 2
    assert current == [0], "the caller's device is current again"
    cupy_launcher.load().threads("pack_rows", 0)  # another process
    assert loaded == [b"machine code"] * 2
    assert len(compiled) == 1, "the second time it came from the disk"
    source, options = compiled[0]
    assert "PLR_KERNELS_mask" in source
    assert {"--fmad=false", "--gpu-architecture=sm_90"} < set(options)
    assert not any("ftz" in option or "fast" in option for option in options)
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(kept.read_bytes()[:-3])
    cupy_launcher.load().threads("pack_rows", 0)
    assert len(compiled) == 2, "what is damaged is compiled again"
    vars(module.cuda.driver)["launchKernel"] = failing(RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS"))
    with pytest.raises(RuntimeError, match="launching pack_rows: CUDA_ERROR_ILLEGAL_ADDRESS"):
        launcher.launch(Launch("pack_rows", (1, 1, 1), Params()), 0, 0)
    vars(module.cuda.nvrtc).update(
        compileProgram=failing(RuntimeError("NVRTC_ERROR_COMPILATION")), getProgramLog=lambda program: "bad arch\nmore"
    )
    message = r"could not compile the kernel noise_setup \(NVRTC for sm_90: NVRTC_ERROR_COMPILATION bad arch\)"
    with pytest.raises(BackendUnavailableError, match=message):
        launcher.threads("noise_setup", 0)


def test_cuda_comes_before_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy_module())
    use_extension(monkeypatch)
    assert active_name("cuda") == "cuda"
    plr_fast.use_backend("cupy")
    assert (active_name("cuda"), active_name()) == ("cupy", registry.active_name("cpu"))
    plr_fast.use_backend("numba")
    assert (active_name("cuda"), active_name()) == ("cupy", "numba"), "each device has its own choice"
    plr_fast.use_backend("auto")
    monkeypatch.setenv("PLR_FAST_BACKEND", "numba, cupy")
    assert (active_name("cuda"), active_name()) == ("cupy", "numba")
    plr_fast.use_backend("auto")
    monkeypatch.setenv("PLR_FAST_BACKEND", "numba,native")
    with pytest.raises(ValueError, match="names two backends of one device, 'numba' and 'native'"):
        active_name()
    with pytest.raises(ValueError, match="works on CUDA devices, not on the CPU"):
        get_backend("cupy")


def test_without_any_all_reasons_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    use_extension(monkeypatch, device_count=lambda: 0)
    with pytest.raises(
        BackendUnavailableError, match=r"on CUDA devices here \(cuda: there is no GPU.*; cupy: CuPy is not"
    ):
        active_name("cuda")
    assert "operations run on the CPU alone" in _doctor_on_gpu(monkeypatch)


def _doctor_on_gpu(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(doctor, "missing_gpu", lambda: None)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda i: (2**30, 2**31))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "H")
    return doctor.gpu()


def test_doctor_tells_the_gpu_and_its_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    use_extension(monkeypatch)
    text = _doctor_on_gpu(monkeypatch)
    assert text == "cuda:0 H, 1.0 of 2.0 GiB free (torch for CUDA 13.0); operations run there by backend 'cuda'"


@pytest.mark.parametrize(
    "said",
    [
        "The NVIDIA driver on your system is too old (found version 11040).",
        "Found no NVIDIA driver on your system.",
        "No CUDA GPUs are available",
    ],
)
def test_torch_without_a_usable_gpu(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", failing(RuntimeError(said)))
    for device in ("cuda", "cuda:1", torch.device("cuda:0")):
        with pytest.raises(BackendUnavailableError, match=rf"no CUDA device can be used: .*{said[:20]}"):
            plr_fast.perlin_noise((1, 4, 4), device=device)
    assert said in doctor.gpu()


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "missing_gpu", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BackendUnavailableError, match=r"device is cuda:5, but torch sees 2 GPU\(s\)"):
        plr_fast.perlin_noise((1, 4, 4), device="cuda:5")


def test_out_of_memory_says_where_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "CUDA out of memory. Tried to allocate 64.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 3.50 GiB is "
        "free. Process 7 has 75 GiB memory in use. See documentation for Memory Management"
    )
    monkeypatch.setattr(torch, "empty", failing(torch.cuda.OutOfMemoryError(said)))
    home = TorchHome(torch.device("cuda", 0))
    for call in (lambda: home.empty((2, 3), "float32"), lambda: TorchMemory(torch.device("cuda", 0)).empty(5)):
        with pytest.raises(
            DeviceMemoryError, match=r"no memory on cuda:0: pass fewer .* which 3.50 GiB is free\.$"
        ) as e:
            call()
        assert isinstance(e.value, MemoryError)
        assert isinstance(e.value.__cause__, torch.cuda.OutOfMemoryError)


def test_importing_touches_no_gpu() -> None:
    code = (
        "import sys, torch, plr_fast, plr_fast.ops, plr_fast.data.transform\n"
        "print('cupy' in sys.modules, 'plr_fast._cuda' in sys.modules, torch.cuda.is_initialized())"
    )
    assert run(code).stdout.split() == ["False", "False", "False"]

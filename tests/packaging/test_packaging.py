"""What is built and shipped: sdist, wheel with and without the extension, stubs, and one version everywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import plr_fast

ROOT = Path(__file__).parents[2]


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={
            **os.environ,
            "PLR_FAST_CUDA": "0",
            **environment,
        },  # nvcc takes its time; what it makes is tested elsewhere
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution from a copy of the tracked and new files."""
    for tool in ("build", "pybind11", "setuptools"):
        pytest.importorskip(tool, reason="needs the 'dev' extra")
    folder = tmp_path_factory.mktemp("source")
    files = (
        "pyproject.toml",
        "setup.py",
        "CMakeLists.txt",
        "MANIFEST.in",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CITATION.cff",
    )
    for name in files:
        shutil.copy(ROOT / name, folder / name)
    ignore = shutil.ignore_patterns("__pycache__", "*.so")
    for name in ("csrc", "plr_fast", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", out, folder, cwd=out)
    (archive,) = out.glob("*.tar.gz")
    return archive


def build_wheel(sdist: Path, folder: Path, **environment: str) -> tuple[Path, str]:
    """Unpack the sdist in a clean folder, build a wheel there; returns it and what the build said."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    out = folder / "wheels"
    said = run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, cwd=folder, **environment
    )
    (wheel,) = out.glob("*.whl")
    return wheel, said.stdout + said.stderr


def check_installed(wheel: Path, folder: Path, expected_backend: str) -> None:
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # Without the site module, no .pth file can lead to an editable install of the working tree.
    paths = f"import sys; sys.path[1:1] = [{str(site)!r}]; sys.path.append({sysconfig.get_path('purelib')!r}); "
    code = (
        "import plr_fast; print(plr_fast.__file__); print(plr_fast.perlin_noise((1, 8, 8)).shape); "
        "print([b.name for b in plr_fast.backends() if b.active])"
    )
    said = run(sys.executable, "-S", "-c", paths + code, cwd=folder).stdout
    assert str(site) in said, "the wheel's own files must be what is tested"
    assert f"['{expected_backend}']" in said
    code = "import runpy; sys.argv[1:] = ['--version']; runpy.run_module('plr_fast', run_name='__main__')"
    assert (
        run(sys.executable, "-S", "-c", paths + code, cwd=folder).stdout.strip() == f"plr-fast {plr_fast.__version__}"
    )


def test_sdist_holds_what_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"CMakeLists.txt", "csrc/core/noise.h", "csrc/bind/module.cpp", "plr_fast/_native.pyi", "LICENSE"} <= names
    assert not any(name.endswith(".so") for name in names)


def test_wheel_with_the_extension(sdist: Path, tmp_path: Path) -> None:
    wheel, said = build_wheel(sdist, tmp_path, PLR_FAST_NATIVE="1", PLR_FAST_CUDA="auto", CUDACXX="/nonexistent/nvcc")
    names = zipfile.ZipFile(wheel).namelist()
    assert said.count("plr_fast: no CUDA kernels") == 1, "nvcc that does not work takes nothing else along"
    assert not any(name.startswith(("plr_fast/_cuda.cpython", "plr_fast/_cuda_host.cpython")) for name in names)
    assert {"plr_fast/_cuda_src/cuda/noise.cu", "plr_fast/_cuda_src/core/noise.h"} <= set(names)
    assert any(re.fullmatch(r"plr_fast/_native\..*\.so", name) for name in names)
    assert {"plr_fast/py.typed", "plr_fast/_native.pyi"} <= set(names)
    assert not any(name.startswith(("tests/", "benchmarks/", "csrc/")) for name in names), "nothing but the package"
    check_installed(wheel, tmp_path, "native")


def test_without_a_compiler_the_pure_package_is_built_and_says_so_once(sdist: Path, tmp_path: Path) -> None:
    wheel, said = build_wheel(sdist, tmp_path, CXX="/nonexistent/c++", PLR_FAST_NATIVE="auto")
    assert said.count("plr_fast: no native extension") == 1
    assert "Install a C++17 compiler" in said
    names = set(zipfile.ZipFile(wheel).namelist())
    assert not any(name.endswith(".so") for name in names)
    # Templates, recipes, experiments, numbers of the paper: whatever lies in the package comes along.
    files = [path for path in (ROOT / "plr_fast").rglob("*") if path.is_file() and path.suffix not in (".so", ".pyc")]
    files = [path for path in files if path.suffix not in (".nbi", ".nbc")]  # Numba's cache
    shipped = {path.relative_to(ROOT).as_posix() for path in files}
    assert {"plr_fast/recipes/plr+.yaml", "plr_fast/pages/templates/layout.html.j2"} <= shipped
    assert shipped <= names
    check_installed(wheel, tmp_path, "numba")


def test_a_build_that_must_be_native_fails_without_a_compiler(sdist: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="PLR_FAST_NATIVE=1, but the native extension could not be built"):
        build_wheel(sdist, tmp_path, CXX="/nonexistent/c++", PLR_FAST_NATIVE="1")


def test_a_build_that_must_have_cuda_kernels_fails_without_nvcc(sdist: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="PLR_FAST_CUDA=1, but the CUDA kernels could not be built"):
        build_wheel(sdist, tmp_path, CUDACXX="/nonexistent/nvcc", PLR_FAST_NATIVE="0", PLR_FAST_CUDA="1")


def test_stubs_are_those_of_the_module(tmp_path: Path) -> None:
    pytest.importorskip("plr_fast._native")
    pytest.importorskip("pybind11_stubgen", reason="needs the 'dev' extra")
    run(
        sys.executable, "-m", "pybind11_stubgen", "plr_fast._native", "--output-dir", tmp_path,
        "--numpy-array-wrap-with-annotated", cwd=ROOT,
    )  # fmt: skip
    made = (tmp_path / "plr_fast" / "_native.pyi").read_text()
    made = re.sub(r"(?m)^(__version__|compiler): str = .*$", r"\1: str", made)
    kept = (ROOT / "plr_fast" / "_native.pyi").read_text().partition("\n")[2]
    assert made == kept, "run tools/make_stubs.sh"


def test_one_version() -> None:
    version = plr_fast.__version__
    native = pytest.importorskip("plr_fast._native")
    assert native.__version__ == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_native_module_needs_neither_torch_nor_openmp() -> None:
    native = pytest.importorskip("plr_fast._native")
    if shutil.which("ldd") is None:
        pytest.skip("no ldd on this machine")
    libraries = run("ldd", native.__file__, cwd=ROOT).stdout
    assert not re.search(r"torch|gomp|omp\.so|cuda", libraries)

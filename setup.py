"""Builds the extensions by CMake; everything else about the package stands in ``pyproject.toml``.

``PLR_FAST_NATIVE=auto`` (the default) builds ``plr_fast._native`` where a compiler works and installs a pure package,
with the Numba backend, where none does; ``1`` makes a failed build an error (packagers, CI); ``0`` asks for the pure
one.
``PLR_FAST_CUDA`` says the same of ``plr_fast._cuda``, the CUDA kernels, which need nvcc: on PATH, or named by CUDACXX,
CUDA_HOME or CUDA_PATH. ``CMAKE_CUDA_ARCHITECTURES`` chooses what they are compiled for. Neither needs the other.
``PLR_FAST_WERROR=1`` turns C++ warnings into errors.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()


NATIVE, CUDA = "plr_fast._native", "plr_fast._cuda"
NAMES = {NATIVE: "native extension", CUDA: "CUDA kernels"}
VARIABLES = {NATIVE: "PLR_FAST_NATIVE", CUDA: "PLR_FAST_CUDA"}
MENDS = {
    NATIVE: "Installing without it; the slower Numba backend gives the same results. Install a C++17 compiler and "
    "reinstall to get it.",
    CUDA: "Installing without them; where CuPy is installed, they are compiled when first used.",
}


def wanted(module: str) -> str:
    """Return the policy for a module, named by ``PLR_FAST_NATIVE`` or ``PLR_FAST_CUDA``: ``auto``, ``1`` or ``0``."""
    variable = VARIABLES[module]
    value = os.environ.get(variable, "auto").strip().lower() or "auto"
    if value not in ("auto", "0", "1"):
        raise SystemExit(f"{variable} must be auto, 0 or 1, not {value!r}")
    return value


def modules() -> list[str]:
    """Return the modules to try. Who asks for a package without native code gets no CUDA kernels unasked."""
    native = [NATIVE] if wanted(NATIVE) != "0" else []
    cuda = [CUDA] if wanted(CUDA) == "1" or (wanted(CUDA) == "auto" and native) else []
    return native + cuda


def find_nvcc() -> str | None:
    """Return nvcc, from where the variables of CMake and of the CUDA toolkit say, or from PATH."""
    if "CUDACXX" in os.environ:
        return os.environ["CUDACXX"]
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    named = [found for home in homes if (found := shutil.which("nvcc", path=str(Path(home, "bin"))))]
    return next(iter(named), None) or shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


class BuildError(Exception):
    """The extension could not be built; the message says at which step."""


class CMakeBuild(build_ext):
    """Configure, build and install by CMake, into the folder where setuptools expects the modules."""

    def run(self) -> None:
        self.extensions = [extension for extension in self.extensions if self.built(extension.name)]

    def built(self, module: str) -> bool:
        try:
            self.build_native() if module == NATIVE else self.build_cuda()
        except BuildError as failure:
            if wanted(module) == "1":
                raise SystemExit(
                    f"{VARIABLES[module]}=1, but the {NAMES[module]} could not be built: {failure}"
                ) from None
            # Nothing was built: the extension is forgotten, or setuptools would look for its file.
            sys.stderr.write(f"\nplr_fast: no {NAMES[module]} ({failure}). {MENDS[module]}\n\n")
            return False
        return True

    def build_native(self) -> None:
        # Tests run the CUDA kernels on the host; nobody else needs that module.
        development = self.inplace or getattr(self, "editable_mode", False)
        options = {"PLR_FAST_CUDA_HOST": "ON" if development else "OFF"}
        self.cmake("cmake", NATIVE, options, "configuring by CMake failed; is there a C++17 compiler?")

    def build_cuda(self) -> None:
        nvcc = find_nvcc()
        if nvcc is None:
            raise BuildError("nvcc was not found")
        options = {
            "PLR_FAST_MODULE": "OFF",
            "PLR_FAST_CUDA": "ON",
            "CMAKE_CUDA_COMPILER": nvcc,
            "CMAKE_CUDA_ARCHITECTURES": os.environ.get("CMAKE_CUDA_ARCHITECTURES", ""),
        }
        self.cmake("cuda", CUDA, options, f"configuring for {nvcc} failed; does it fit this C++ compiler?", "_cuda")

    def cmake(self, folder: str, module: str, options: dict[str, str], failure: str, target: str = "all") -> None:
        # Ninja and CMake come from the build requirements, as programs on PATH or beside the interpreter.
        cmake = shutil.which("cmake")
        if cmake is None:
            raise BuildError("cmake was not found")
        try:
            import pybind11
        except ImportError:
            raise BuildError("pybind11 is not installed") from None
        place = Path(self.get_ext_fullpath(module)).resolve()
        # One build folder per interpreter and place, so that an editable install is incremental.
        build = ROOT / "build" / f"{folder}-{sys.implementation.cache_tag}-{sys.platform}"
        options = {
            "CMAKE_BUILD_TYPE": "Debug" if self.debug else "Release",
            "Python_EXECUTABLE": sys.executable,
            "pybind11_DIR": pybind11.get_cmake_dir(),
            "PLR_FAST_WERROR": "ON" if os.environ.get("PLR_FAST_WERROR") == "1" else "OFF",
            **options,
        }
        ninja = shutil.which("ninja")
        if ninja is not None:
            options["CMAKE_MAKE_PROGRAM"] = ninja
        definitions = [f"-D{key}={value}" for key, value in options.items()]
        generator = ["-G", "Ninja"] if ninja is not None else []
        self.step([cmake, "-S", str(ROOT), "-B", str(build), *generator, *definitions], failure)
        self.step([cmake, "--build", str(build), "--parallel", "--target", target], "compiling failed")
        self.step([cmake, "--install", str(build), "--prefix", str(place.parent.parent)], "installing failed")

    @staticmethod
    def step(command: list[str], failure: str) -> None:
        try:
            subprocess.run(command, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise BuildError(f"{failure} ({error})") from None


class FreshBuild(build):
    """A build that starts from an empty folder: a module deleted since the last one would live on in the wheel."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        # The kernels' text goes along, to be compiled at run time where there is no plr_fast._cuda.
        for folder in ("core", "cuda"):
            to = Path(self.build_lib, "plr_fast", "_cuda_src", folder)
            shutil.copytree(ROOT / "csrc" / folder, to, ignore=shutil.ignore_patterns("CMakeLists.txt"))


extensions = [Extension(name, sources=[]) for name in modules()]
setup(ext_modules=extensions, cmdclass={"build": FreshBuild, "build_ext": CMakeBuild})

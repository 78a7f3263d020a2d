"""Builds ``plr_fast._native`` by CMake; everything else about the package stands in ``pyproject.toml``.

``PLR_FAST_NATIVE=auto`` (the default) builds the extension where a compiler works and installs a pure package, with
the Numba backend, where none does; ``1`` makes a failed build an error (packagers, CI); ``0`` asks for the pure one.
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


def wanted() -> str:
    """Return the policy named by ``PLR_FAST_NATIVE``: ``auto``, ``1`` or ``0``."""
    value = os.environ.get("PLR_FAST_NATIVE", "auto").strip().lower() or "auto"
    if value not in ("auto", "0", "1"):
        raise SystemExit(f"PLR_FAST_NATIVE must be auto, 0 or 1, not {value!r}")
    return value


class BuildError(Exception):
    """The extension could not be built; the message says at which step."""


class CMakeBuild(build_ext):
    """Configure, build and install by CMake, into the folder where setuptools expects the module."""

    def run(self) -> None:
        try:
            self.build_native()
        except BuildError as failure:
            if wanted() == "1":
                raise SystemExit(f"PLR_FAST_NATIVE=1, but the native extension could not be built: {failure}") from None
            # Nothing was built: forget the extension, or setuptools would look for its file.
            self.extensions = []
            notice = (
                f"plr_fast: no native extension ({failure}). Installing without it; the slower Numba backend gives the "
                "same results. Install a C++17 compiler and reinstall to get it."
            )
            sys.stderr.write(f"\n{notice}\n\n")

    def build_native(self) -> None:
        # Ninja and CMake come from the build requirements, as programs on PATH or beside the interpreter.
        cmake = shutil.which("cmake")
        if cmake is None:
            raise BuildError("cmake was not found")
        try:
            import pybind11
        except ImportError:
            raise BuildError("pybind11 is not installed") from None
        module = Path(self.get_ext_fullpath("plr_fast._native")).resolve()
        # One build folder per interpreter and place, so that an editable install is incremental.
        build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}-{sys.platform}"
        options = {
            "CMAKE_BUILD_TYPE": "Debug" if self.debug else "Release",
            "Python_EXECUTABLE": sys.executable,
            "pybind11_DIR": pybind11.get_cmake_dir(),
            "PLR_FAST_WERROR": "ON" if os.environ.get("PLR_FAST_WERROR") == "1" else "OFF",
        }
        ninja = shutil.which("ninja")
        if ninja is not None:
            options["CMAKE_MAKE_PROGRAM"] = ninja
        definitions = [f"-D{key}={value}" for key, value in options.items()]
        generator = ["-G", "Ninja"] if ninja is not None else []
        configure = [cmake, "-S", str(ROOT), "-B", str(build), *generator, *definitions]
        self.step(configure, "configuring by CMake failed; is there a C++17 compiler?")
        self.step([cmake, "--build", str(build), "--parallel"], "compiling failed")
        self.step([cmake, "--install", str(build), "--prefix", str(module.parent.parent)], "installing failed")

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


extensions = [] if wanted() == "0" else [Extension("plr_fast._native", sources=[])]
setup(ext_modules=extensions, cmdclass={"build": FreshBuild, "build_ext": CMakeBuild})

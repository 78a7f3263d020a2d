"""Compile the CUDA kernels and report what they take: registers, shared memory, local memory, spills, wide stores.

    python tools/cuda_report.py                      # for sm_90
    python tools/cuda_report.py --arch sm_80 --unit noise

Exit status: 0 all well; 1 a kernel spills, uses local memory, or lacks the 16-byte stores it is meant to have; 77 no
nvcc. Nothing needs a GPU.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parents[1] / "csrc" / "cuda"
SKIPPED = 77

# Kernels that must store 16 bytes at a time.
WIDE_STORES = re.compile(
    r"noise_rows_[23]d_\d+|paste_float32|cloud_float32|blur_float32_\d|scale_grey|copy_bytes|clear_windows"
)


class Kernel(NamedTuple):
    """What the compiler says of a kernel; memory in bytes, local memory and spills per thread."""

    name: str
    registers: int
    shared: int
    stack: int
    spills: int
    wide_stores: int

    def faults(self) -> list[str]:
        found = []
        if self.stack or self.spills:
            found.append(f"{self.name} uses local memory: {self.stack} bytes of stack, {self.spills} of spills")
        if WIDE_STORES.fullmatch(self.name) and not self.wide_stores:
            found.append(f"{self.name} never stores 16 bytes at once")
        return found


def units() -> list[str]:
    """Return the names of the .cu files."""
    return sorted(path.stem for path in SOURCES.glob("*.cu"))


def compile_unit(nvcc: str, unit: str, arch: str) -> list[Kernel]:
    """Compile a unit to PTX, and that to machine code; return what it takes.

    Raises:
        subprocess.CalledProcessError: it does not compile; stderr says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        ptx = Path(folder, f"{unit}.ptx")
        options = [f"-arch={arch.replace('sm_', 'compute_')}", "-std=c++17", "--fmad=false"]
        _run([nvcc, "-ptx", *options, "-o", str(ptx), str(SOURCES / f"{unit}.cu")])
        said = _run([nvcc, "-cubin", f"-arch={arch}", "--ptxas-options=-v", "-o", f"{folder}/{unit}.cubin", str(ptx)])
        return parse(ptx.read_text(encoding="utf-8"), said)


def parse(ptx: str, said: str) -> list[Kernel]:
    """Return the kernels of a PTX text and of what ptxas said of it."""
    bodies = dict(re.findall(r"\.entry plr_(\w+)\(.*?\n\{(.*?)\n\}", ptx, flags=re.DOTALL))
    kernels = []
    for part in said.split("Compiling entry function 'plr_")[1:]:
        name = part[: part.index("'")]

        def number(pattern: str, text: str = part) -> int:
            found = re.search(pattern, text)
            return int(found[1]) if found else 0

        kernels.append(
            Kernel(
                name,
                registers=number(r"Used (\d+) registers"),
                shared=number(r"(\d+) bytes smem"),
                stack=number(r"(\d+) bytes stack frame"),
                spills=number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
                wide_stores=len(re.findall(r"st\.global\.v4\.[fbu]32", bodies.get(name, ""))),
            )
        )
    return sorted(kernels)


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arch", default="sm_90", help="what to compile for (default: %(default)s)")
    parser.add_argument("--unit", action="append", choices=units(), help="a .cu file; default: all")
    arguments = parser.parse_args()
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        sys.stderr.write("not run: nvcc is not on PATH\n")
        return SKIPPED
    faults = []
    sys.stdout.write(f"{'kernel, ' + arguments.arch:28} registers   shared    local   spills  16-byte stores\n")
    for unit in arguments.unit or units():
        try:
            kernels = compile_unit(nvcc, unit, arguments.arch)
        except subprocess.CalledProcessError as error:
            sys.stderr.write(error.stderr)
            return 1
        for kernel in kernels:
            name, *numbers, stores = kernel
            sizes = " ".join(f"{n:8}" for n in numbers[1:])
            sys.stdout.write(f"{name:28} {numbers[0]:9} {sizes} {stores:15}\n")
            faults += kernel.faults()
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

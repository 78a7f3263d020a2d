"""Runs CUDA kernels on the host, for tests; built for development."""

from ctypes import Structure

def kernels() -> dict[str, tuple[str, int, int]]: ...
def layouts() -> dict[str, tuple[int, dict[str, tuple[int, int]]]]: ...
def launch(
    name: str,
    grid: tuple[int, int, int],
    params: Structure | bytes,
    device: int,
    stream: int,
    backwards: bool = False,
) -> None: ...

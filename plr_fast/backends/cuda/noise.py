"""Plans of noise."""

from __future__ import annotations

import ctypes

from .params import F64, I32, I64, MAX_OCTAVES, STRUCTURES, U64, Pointer, SampleIdsParams


class NoiseTablesParams(ctypes.Structure):
    """``NoiseTables`` of ``csrc/cuda/noise_setup.h``."""

    _fields_ = (
        *((name, Pointer) for name in (
            "permutation", "offsets", "extremes", "gradients", "columns", "column_lines", "factors", "row_lines",
            "band_end", "planes",
        )),
        ("column_count", I32),
        ("factor_count", I32),
    )  # fmt: skip


class NoiseSetupParams(ctypes.Structure):
    """``NoiseSetup::Params`` of ``csrc/cuda/noise_setup.h``."""

    _fields_ = (
        ("seed", U64),
        ("samples", SampleIdsParams),
        ("batch", I32),
        ("octaves", I32),
        ("dims", I32),
        ("tileable", I32),
        ("depth", I64),
        ("height", I64),
        ("width", I64),
        ("tables", NoiseTablesParams),
        ("frequency", F64 * 3 * MAX_OCTAVES),
        ("amplitude", F64 * MAX_OCTAVES),
    )


STRUCTURES.update(NoiseTables=NoiseTablesParams, NoiseSetup=NoiseSetupParams)

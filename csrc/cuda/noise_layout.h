// Layouts of the parameters in noise_kernels.h, for the test that compares them with Python's.
#ifndef PLR_CUDA_NOISE_LAYOUT_H
#define PLR_CUDA_NOISE_LAYOUT_H

#include "noise_kernels.h"
#include "units.h"

namespace plr {
namespace cuda {

inline std::vector<Layout> noise_layouts() {
    using S = SampleIds;
    using T = NoiseTables;
    using P = NoiseSetup::Params;
    using R = NoiseRowsParams;
    return {
        {"SampleIds", sizeof(S), {PLR_FIELD(S, ids), PLR_FIELD(S, first), PLR_FIELD(S, step)}},
        {"NoiseTables",
         sizeof(T),
         {PLR_FIELD(T, permutation), PLR_FIELD(T, offsets), PLR_FIELD(T, extremes), PLR_FIELD(T, gradients),
          PLR_FIELD(T, columns), PLR_FIELD(T, column_lines), PLR_FIELD(T, factors), PLR_FIELD(T, row_lines),
          PLR_FIELD(T, band_end), PLR_FIELD(T, planes), PLR_FIELD(T, column_count), PLR_FIELD(T, factor_count)}},
        {"NoiseSetup",
         sizeof(P),
         {PLR_FIELD(P, seed), PLR_FIELD(P, samples), PLR_FIELD(P, batch), PLR_FIELD(P, octaves), PLR_FIELD(P, dims),
          PLR_FIELD(P, tileable), PLR_FIELD(P, depth), PLR_FIELD(P, height), PLR_FIELD(P, width), PLR_FIELD(P, tables),
          PLR_FIELD(P, frequency), PLR_FIELD(P, amplitude)}},
        {"NoiseRows",
         sizeof(R),
         {PLR_FIELD(R, tables), PLR_FIELD(R, out), PLR_FIELD(R, stride_sample), PLR_FIELD(R, stride_plane),
          PLR_FIELD(R, stride_row), PLR_FIELD(R, depth), PLR_FIELD(R, height), PLR_FIELD(R, width),
          PLR_FIELD(R, octaves), PLR_FIELD(R, output), PLR_FIELD(R, aligned), PLR_FIELD(R, groups),
          PLR_FIELD(R, group_shift), PLR_FIELD(R, strip), PLR_FIELD(R, row_blocks), PLR_FIELD(R, strip_blocks), PLR_FIELD(R, chosen)}},
    };
}

}  // namespace cuda
}  // namespace plr

#endif

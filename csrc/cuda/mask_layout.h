// Layouts of the parameters in mask_kernels.h, for the test that compares them with Python's.
#ifndef PLR_CUDA_MASK_LAYOUT_H
#define PLR_CUDA_MASK_LAYOUT_H

#include "mask_kernels.h"
#include "units.h"

namespace plr {
namespace cuda {

inline std::vector<Layout> mask_layouts() {
    using P = PackMasksParams;
    return {
        {"PackMasksParams",
         sizeof(P),
         {PLR_FIELD(P, masks), PLR_FIELD(P, bits), PLR_FIELD(P, before), PLR_FIELD(P, height), PLR_FIELD(P, width),
          PLR_FIELD(P, words), PLR_FIELD(P, whole), PLR_FIELD(P, row_blocks)}},
    };
}

}  // namespace cuda
}  // namespace plr

#endif

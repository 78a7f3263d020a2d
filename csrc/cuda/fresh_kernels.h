// The kernels of fresh lesions, by name.
#ifndef PLR_CUDA_FRESH_KERNELS_H
#define PLR_CUDA_FRESH_KERNELS_H

#include "fresh_patches.h"

#define PLR_KERNELS_fresh(X)                     \
    X(fresh_table, plr::cuda::FreshTableMaker)   \
    X(fresh_patches, plr::cuda::FreshPatchMaker)

#endif

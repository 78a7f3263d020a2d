// The kernels of the lesion bank, by name.
#ifndef PLR_CUDA_BANK_KERNELS_H
#define PLR_CUDA_BANK_KERNELS_H

#include "candidates.h"
#include "pick.h"

#define PLR_KERNELS_bank(X)                   \
    X(candidates, plr::cuda::Candidates)      \
    X(cut_boxes, plr::cuda::CutBoxes)         \
    X(pick_count, plr::cuda::PickCount)       \
    X(pick_scan, plr::cuda::PickScan)         \
    X(pick_rows, plr::cuda::PickRows)         \
    X(pick_offsets, plr::cuda::PickOffsets)

#endif

// The kernels of blur, shuffle and copies, by name.
#ifndef PLR_CUDA_FILTERS_KERNELS_H
#define PLR_CUDA_FILTERS_KERNELS_H

#include "blur.h"
#include "copies.h"
#include "shuffle.h"

#define PLR_KERNELS_filters(X)                                         \
    X(copy_bytes, plr::cuda::CopyBytes)                                \
    X(scale_grey, plr::cuda::ScaleGrey)                                \
    X(clear_windows, plr::cuda::ClearWindows)                          \
    X(map_windows, plr::cuda::MapWindows)                              \
    X(blur_uint8_3, plr::cuda::BlurTiles<plr::u8, 3>)                  \
    X(blur_uint8_5, plr::cuda::BlurTiles<plr::u8, 5>)                  \
    X(blur_float32_3, plr::cuda::BlurTiles<float, 3>)                  \
    X(blur_float32_5, plr::cuda::BlurTiles<float, 5>)                  \
    X(blur_uint8_along_x, plr::cuda::BlurAny<plr::u8, true>)           \
    X(blur_uint8_along_y, plr::cuda::BlurAny<plr::u8, false>)          \
    X(blur_float32_along_x, plr::cuda::BlurAny<float, true>)           \
    X(blur_float32_along_y, plr::cuda::BlurAny<float, false>)          \
    X(shuffle_uint8, plr::cuda::ShuffleShared<plr::u8>)                \
    X(shuffle_float32, plr::cuda::ShuffleShared<float>)                \
    X(shuffle_clear, plr::cuda::ShuffleGlobal<plr::u8, 0>)             \
    X(shuffle_link, plr::cuda::ShuffleGlobal<plr::u8, 1>)              \
    X(shuffle_move_uint8, plr::cuda::ShuffleGlobal<plr::u8, 2>)        \
    X(shuffle_move_float32, plr::cuda::ShuffleGlobal<float, 2>)

#endif

// The kernels of clouds, by name.
#ifndef PLR_CUDA_CLOUDS_KERNELS_H
#define PLR_CUDA_CLOUDS_KERNELS_H

#include "cloud_tiles.h"

#define PLR_KERNELS_clouds(X)                          \
    X(cloud_noise, plr::cuda::CloudNoise)              \
    X(cloud_count, plr::cuda::CloudOutlines<false>)    \
    X(cloud_other_draws, plr::cuda::CloudOtherDraws)   \
    X(cloud_levels, plr::cuda::CloudOutlines<true>)    \
    X(cloud_record, plr::cuda::CloudRecord)            \
    X(cloud_uint8, plr::cuda::CloudTiles<plr::u8>)     \
    X(cloud_float32, plr::cuda::CloudTiles<float>)

#endif

// The kernels of noise, by name: noise_rows_<dimensions>d_<octaves>, or many for any number of octaves.
#ifndef PLR_CUDA_NOISE_KERNELS_H
#define PLR_CUDA_NOISE_KERNELS_H

#include "noise_many_rows.h"
#include "noise_rows.h"
#include "noise_setup.h"

#define PLR_KERNELS_noise(X)                               \
    X(noise_setup, plr::cuda::NoiseSetup)                  \
    X(noise_rows_2d_1, plr::cuda::NoiseRows<1, false>)     \
    X(noise_rows_2d_2, plr::cuda::NoiseRows<2, false>)     \
    X(noise_rows_2d_3, plr::cuda::NoiseRows<3, false>)     \
    X(noise_rows_2d_4, plr::cuda::NoiseRows<4, false>)     \
    X(noise_rows_2d_5, plr::cuda::NoiseRows<5, false>)     \
    X(noise_rows_2d_6, plr::cuda::NoiseRows<6, false>)     \
    X(noise_rows_2d_many, plr::cuda::NoiseManyRows<false>) \
    X(noise_rows_3d_1, plr::cuda::NoiseRows<1, true>)      \
    X(noise_rows_3d_2, plr::cuda::NoiseRows<2, true>)      \
    X(noise_rows_3d_3, plr::cuda::NoiseRows<3, true>)      \
    X(noise_rows_3d_4, plr::cuda::NoiseRows<4, true>)      \
    X(noise_rows_3d_many, plr::cuda::NoiseManyRows<true>)

#endif

// The kernels of noise, by name.
#ifndef PLR_CUDA_NOISE_KERNELS_H
#define PLR_CUDA_NOISE_KERNELS_H

#include "noise_setup.h"

#define PLR_KERNELS_noise(X) X(noise_setup, plr::cuda::NoiseSetup)

#endif

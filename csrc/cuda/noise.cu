#include "noise_kernels.h"

PLR_KERNELS_noise(PLR_GLOBAL)

#if !defined(__CUDACC_RTC__)
#include "units.h"
plr::cuda::Unit plr_unit_noise() { return {"noise", {PLR_KERNELS_noise(PLR_DEVICE_ROW)}}; }
#endif

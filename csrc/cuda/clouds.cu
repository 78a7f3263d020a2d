#include "clouds_kernels.h"

PLR_KERNELS_clouds(PLR_GLOBAL)

#if !defined(__CUDACC_RTC__)
#include "units.h"
plr::cuda::Unit plr_unit_clouds() { return {"clouds", {PLR_KERNELS_clouds(PLR_DEVICE_ROW)}}; }
#endif

#include "mask_kernels.h"

PLR_KERNELS_mask(PLR_GLOBAL)

#if !defined(__CUDACC_RTC__)
#include "units.h"
plr::cuda::Unit plr_unit_mask() { return {"mask", {PLR_KERNELS_mask(PLR_DEVICE_ROW)}}; }
#endif

#include "fresh_kernels.h"

PLR_KERNELS_fresh(PLR_GLOBAL)

#if !defined(__CUDACC_RTC__)
#include "units.h"
plr::cuda::Unit plr_unit_fresh() { return {"fresh", {PLR_KERNELS_fresh(PLR_DEVICE_ROW)}}; }
#endif

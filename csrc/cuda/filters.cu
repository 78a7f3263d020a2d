#include "filters_kernels.h"

PLR_KERNELS_filters(PLR_GLOBAL)

#if !defined(__CUDACC_RTC__)
#include "units.h"
plr::cuda::Unit plr_unit_filters() { return {"filters", {PLR_KERNELS_filters(PLR_DEVICE_ROW)}}; }
#endif

#include "paste_kernels.h"

PLR_KERNELS_paste(PLR_GLOBAL)

#if !defined(__CUDACC_RTC__)
#include "units.h"
plr::cuda::Unit plr_unit_paste() { return {"paste", {PLR_KERNELS_paste(PLR_DEVICE_ROW)}}; }
#endif

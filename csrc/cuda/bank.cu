#include "bank_kernels.h"

PLR_KERNELS_bank(PLR_GLOBAL)

#if !defined(__CUDACC_RTC__)
#include "units.h"
plr::cuda::Unit plr_unit_bank() { return {"bank", {PLR_KERNELS_bank(PLR_DEVICE_ROW)}}; }
#endif

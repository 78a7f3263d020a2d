#define PLR_TIER avx2
#include "kernels.inl"

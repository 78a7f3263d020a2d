#define PLR_TIER avx512
#include "kernels.inl"

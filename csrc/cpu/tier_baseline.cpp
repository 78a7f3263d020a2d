#define PLR_TIER baseline
#include "kernels.inl"

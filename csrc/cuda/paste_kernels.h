// The kernels of pasting, by name.
#ifndef PLR_CUDA_PASTE_KERNELS_H
#define PLR_CUDA_PASTE_KERNELS_H

#include "cover.h"
#include "paste_tiles.h"

#define PLR_KERNELS_paste(X)                                         \
    X(place_patches, plr::cuda::PlacePatches)                        \
    X(search_places, plr::cuda::SearchPlaces)                        \
    X(paste_uint8, plr::cuda::PasteTiles<plr::u8>)                   \
    X(paste_float32, plr::cuda::PasteTiles<float>)                   \
    X(cover_patches, plr::cuda::CoverPatches)

#endif

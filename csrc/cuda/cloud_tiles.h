// The last part of clouds: each block copies a tile of an image and blends the lesion into it.
#ifndef PLR_CUDA_CLOUD_TILES_H
#define PLR_CUDA_CLOUD_TILES_H

#include "cloud_areas.h"

namespace plr {
namespace cuda {

struct CloudTilesParams {
    CloudOutlineParams outline;  // its tiles are of CloudTiles::ROWS rows for each thread
    const void* images;          // [batch][height][width]
    void* out;                   // likewise; may be the same
    u8* lesions;                 // [batch][height][width] 1 in the lesion, else 0; or null
    const i32* thresholds;       // [batch] as CloudRecord noted them, and the next two
    const i32* weights;
    const i32* combines;
    i32 whole;                   // 1: all rows of all arrays of images are aligned to groups
};

template <typename T>
struct CloudTiles {
    static constexpr u32 threads = 256, blocks = 4, phases = 2;
    enum : i32 { ROWS = sizeof(T) == 1 ? 8 : 4 };
    typedef CloudTilesParams Params;
    struct Shared {
        double white[256];  // of the lesion, by the texture's noise: 0..1
        u16 weight[256];    // opacity by the outline's noise, in 1/256
        u8 grey[256];       // of the lesion, by the texture's noise
    };
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        const TileThread me = tile_thread(p.outline.tiles, at);
        if (phase == 0) {
            const CloudParams& clouds = p.outline.batch.clouds;
            const i32 noise = (i32)at.thread, above = noise - p.thresholds[me.image];
            shared.weight[noise] = (u16)cloud_opacity(clouds.softness, p.weights[me.image], above);
            shared.grey[noise] = cloud_grey(clouds, noise);
            shared.white[noise] = (double)shared.grey[noise] / 255.0;
        } else if (me.column < p.outline.tiles.width) {
            paint(me, shared, p);
        }
    }

    PLR_BODY void paint(const TileThread& me, const Shared& shared, const Params& p) {
        const CloudBatchParams& b = p.outline.batch;
        const i32 threshold = p.thresholds[me.image], combine = p.combines[me.image];
        const i32 count = min_i32(GROUP, p.outline.tiles.width - me.column);
        const i64 image_bytes = b.height * p.outline.pitch;
        const u8* const noise = p.outline.noise + me.image * (b.outlines + b.textures) * image_bytes + me.column;
        PLR_NO_UNROLL
        for (i32 g = 0; g < ROWS; ++g) {
            const i32 row = me.top + me.line + g * tile_lines(p.outline.tiles);
            if (row >= p.outline.tiles.height) return;
            const i64 place = (me.image * b.height + row) * b.width + me.column;
            const u32 lung = lung_group(b, me.image, row, me.column);
            if (lung == 0 && p.images == p.out && p.lesions == nullptr) continue;
            Group<T> pixels = load_group((const T*)p.images + place, count, p.whole != 0);
            Group<u8> marks = {0};
            if (lung != 0) {
                const u8* const here = noise + row * p.outline.pitch;
                const Group<u8> outline = outline_group(here, image_bytes, combine);
                Group<u8> texture = {0};
                if (b.textures != 0) texture = load_group(here + b.outlines * image_bytes, GROUP, true);
                PLR_UNROLL
                for (i32 j = 0; j < GROUP; ++j) {
                    if ((lung >> j & 1u) == 0 || outline.get(j) <= threshold) continue;
                    marks.set(j, 1);
                    blend(pixels, j, texture.get(j), shared.weight[outline.get(j)], shared, b.clouds.blend);
                }
            }
            store_group((T*)p.out + place, pixels, count, p.whole != 0);
            if (p.lesions != nullptr) store_group(p.lesions + place, marks, count, p.whole != 0);
        }
    }

    PLR_BODY void blend(Group<u8>& pixels, i32 j, u8 texture, i32 weight, const Shared& shared, i32 mode) {
        pixels.set(j, blend_u8(mode, pixels.get(j), shared.grey[texture], weight));
    }
    PLR_BODY void blend(Group<float>& pixels, i32 j, u8 texture, i32 weight, const Shared& shared, i32 mode) {
        pixels.set(j, cloud_blend_float(mode, pixels.get(j), shared.white[texture], weight));
    }
};

}  // namespace cuda
}  // namespace plr

#endif

// The second part of pasting: each block copies a tile of an image and lays over it, in order, the patches that touch it.
// Memory is read once and written once, a pixel by one thread alone; in place, tiles without a patch are left alone.
#ifndef PLR_CUDA_PASTE_TILES_H
#define PLR_CUDA_PASTE_TILES_H

#include "paste_place.h"

namespace plr {
namespace cuda {

struct PasteTilesParams {
    PasteParams paste;
    Tiles tiles;                // of PasteTiles::ROWS rows for each thread
    const void* images;         // [batch][height][width]
    void* out;                  // likewise; may be the same
    const u64* bits;            // [batch][height][words]
    const u32* before;          // [batch][height + 1]
    SampleIds samples;
    const PlacedPatch* placed;  // [batch][high_count]
    u8* lesions;                // [batch][height][width] 1 where a patch wrote, or null
    i32 first;                  // the first patch of this launch, which does MOST at most
    i32 whole;                  // 1: all rows of all arrays are aligned to groups
};

template <typename T>
struct PasteTiles {
    static constexpr u32 threads = 256, blocks = 3, phases = 3;
    enum : i32 { ROWS = sizeof(T) == 1 ? 8 : 4, MOST = 1024 };
    typedef PasteTilesParams Params;
    struct Shared {
        u32 touching[MOST / 32];  // a bit for each patch
    };
    struct Thread {
        i32 some;  // patches of this launch in this image
    };

    template <int phase>
    PLR_BODY void run(const At& at, Thread& mine, Shared& shared, const Params& p) {
        const TileThread me = tile_thread(p.tiles, at);
        const PlacedPatch* const placed = p.placed + me.image * p.paste.high_count + p.first;
        if (phase == 0) {
            if (at.thread < MOST / 32) shared.touching[at.thread] = 0;
            const u32 lung = p.before[me.image * (p.paste.height + 1) + p.paste.height];
            const i32 count = lung == 0 ? 0 : paste_count(p.paste, sample_id(p.samples, me.image));
            mine.some = max_i32(0, min_i32(count - p.first, MOST));
        } else if (phase == 1) {
            const i32 left = me.column - GROUP * ((i32)at.thread & ((1 << p.tiles.column_bits) - 1));
            const i32 bottom = me.top + tile_height(p.tiles), right = left + (GROUP << p.tiles.column_bits);
            for (i32 i = (i32)at.thread; i < mine.some; i += threads) {
                const PlacedPatch& patch = placed[i];
                if (patch.height > 0 && patch.top < bottom && patch.top + patch.height > me.top && patch.left < right &&
                    patch.left + patch.width > left)
                    atomic_or(&shared.touching[i / 32], 1u << (i % 32));
            }
        } else if (me.column < p.tiles.width) {
            paste(me, (mine.some + 31) / 32, shared, placed, p);
        }
    }

    PLR_BODY void paste(const TileThread& me, i32 words, const Shared& shared, const PlacedPatch* placed, const Params& p) {
        const bool in_place = p.images == p.out;
        if (in_place && (p.lesions == nullptr || p.first > 0)) {
            u32 any = 0;
            for (i32 w = 0; w < words; ++w) any |= shared.touching[w];
            if (any == 0) return;
        }
        const i32 height = p.tiles.height, width = p.tiles.width, lines = tile_lines(p.tiles);
        const i32 count = min_i32(GROUP, width - me.column);
        const i32 top = me.top + me.line;
        const i64 start = (me.image * height + top) * width + me.column, step = (i64)lines * width;
        Group<T> pixels[ROWS];
        PLR_UNROLL
        for (i32 g = 0; g < ROWS; ++g)
            if (top + g * lines < height) pixels[g] = load_group((const T*)p.images + start + g * step, count, p.whole != 0);
        u32 marks = 0;  // four bits for each row
        const i64 mask_start = (me.image * height + top) * words_for(width) + (me.column >> 6);
        for (i32 w = 0; w < words; ++w)
            for (u32 left = shared.touching[w]; left != 0; left &= left - 1) {
                const PlacedPatch patch = placed[32 * w + lowest_bit(left)];
                const i32 x = me.column - patch.left;
                if (x <= -GROUP || x >= patch.width) continue;
                u32 inside = 0;
                PLR_UNROLL
                for (i32 j = 0; j < GROUP; ++j) inside |= (u32)((u32)(x + j) < (u32)patch.width) << j;
                PLR_UNROLL
                for (i32 g = 0; g < ROWS; ++g) {
                    const i32 row = top + g * lines, y = row - patch.top;
                    if (row >= height || (u32)y >= (u32)patch.height) continue;
                    const u64 lung = read_only(p.bits + mask_start + (i64)(g * lines) * words_for(width));
                    const u32 some = (u32)(lung >> (me.column & 63)) & inside;
                    if (some != 0) marks |= blend_group(p.paste, patch, y, x, some, pixels[g]) << GROUP * g;
                }
            }
        PLR_UNROLL
        for (i32 g = 0; g < ROWS; ++g) {
            if (top + g * lines >= height) continue;
            store_group((T*)p.out + start + g * step, pixels[g], count, p.whole != 0);
            if (p.lesions != nullptr) mark(p, start + g * step, marks >> GROUP * g, count);
        }
    }

    // Blend the group of pixels at (y, x) of the patch, x may be less than 0; `some` tells which pixels are lung and inside
    // the patch. Returns which were written.
    PLR_BODY u32 blend_group(const PasteParams& p, const PlacedPatch& at, i32 y, i32 x, u32 some, Group<T>& pixels) {
        const i64 start = at.offset + (i64)y * at.width + x;
        const i32 highest = p.feather > 0 ? feathered(at.weight, p.feather, to_edge(y, at.height)) : at.weight;
        u32 written = 0;
        if constexpr (sizeof(T) == 1) {
            for (; some != 0; some &= some - 1) {
                const i32 j = lowest_bit(some);
                written |= blend_pixel(p, at, start + j, x + j, highest, j, pixels);
            }
        } else {
            PLR_UNROLL
            for (i32 j = 0; j < GROUP; ++j)
                if ((some >> j & 1u) != 0) written |= blend_pixel(p, at, start + j, x + j, highest, j, pixels);
        }
        return written;
    }

    // The pixel that is byte k of the bank, in column x of the patch; `highest` is the weight of its row. Returns bit j if
    // it was written.
    PLR_BODY u32 blend_pixel(const PasteParams& p, const PlacedPatch& at, i64 k, i32 x, i32 highest, i32 j, Group<T>& pixels) {
        const bool weighted = p.blend == BLEND_ALPHA || p.blend == BLEND_ADD;
        i32 weight = at.weight;
        if (p.cover != nullptr) {
            const u8 cover = read_only(p.cover + k);
            if (cover < (weighted ? 1 : 128)) return 0;
            weight = covered(at.weight, cover);
        } else if (p.feather > 0 && weighted) {
            weight = min_i32(highest, feathered(at.weight, p.feather, to_edge(x, at.width)));
        }
        pixels.set(j, blend(p.blend, pixels.get(j), read_only(p.pixels + k), weight));
        return 1u << j;
    }

    PLR_BODY u8 blend(i32 mode, u8 pixel, u8 grey, i32 weight) { return blend_u8(mode, pixel, grey, weight); }
    PLR_BODY float blend(i32 mode, float pixel, u8 grey, i32 weight) {
        return blend_float(mode, pixel, grey_to_float(grey), weight);
    }

    PLR_BODY void mark(const Params& p, i64 at, u32 marks, i32 count) {
        Group<u8> marked = {(marks & 15u) * 0x00204081u & 0x01010101u};  // a bit to the lowest of each byte
        if (p.first > 0) marked.word |= load_group(p.lesions + at, count, p.whole != 0).word;
        store_group(p.lesions + at, marked, count, p.whole != 0);
    }
};

}  // namespace cuda
}  // namespace plr

#endif

// What kernels over images share: pixels in groups of four neighbours, and who works on which.
#ifndef PLR_CUDA_GROUPS_H
#define PLR_CUDA_GROUPS_H

#include "launch.h"

namespace plr {
namespace cuda {

// Neighbouring pixels of a row, which one thread reads and writes at once.
enum : i32 { GROUP = 4 };

template <typename T>
struct Group;

template <>
struct alignas(16) Group<float> {
    float v[GROUP];
    PLR_MEMBER float get(i32 j) const { return v[j]; }
    PLR_MEMBER void set(i32 j, float value) { v[j] = value; }
};

// Bytes stay packed in one register.
template <>
struct Group<u8> {
    u32 word;
    PLR_MEMBER u8 get(i32 j) const { return (u8)(word >> 8 * j); }
    PLR_MEMBER void set(i32 j, u8 value) { word = (word & ~(255u << 8 * j)) | (u32)value << 8 * j; }
};

// The group at `from`, of which `count` pixels are there. `whole`: rows are aligned and as wide as whole groups.
template <typename T>
PLR_BODY Group<T> load_group(const T* from, i32 count, bool whole) {
    Group<T> group = {};
    if (whole) {
#if defined(PLR_DEVICE_CODE)
        return *(const Group<T>*)from;
#else
        __builtin_memcpy(&group, from, sizeof(group));
        return group;
#endif
    }
    PLR_UNROLL
    for (i32 j = 0; j < GROUP; ++j)
        if (j < count) group.set(j, from[j]);
    return group;
}

template <typename T>
PLR_BODY void store_group(T* to, const Group<T>& group, i32 count, bool whole) {
    if (whole) {
#if defined(PLR_DEVICE_CODE)
        *(Group<T>*)to = group;
#else
        __builtin_memcpy(to, &group, sizeof(group));
#endif
        return;
    }
    PLR_UNROLL
    for (i32 j = 0; j < GROUP; ++j)
        if (j < count) to[j] = group.get(j);
}

// How a batch of images is cut up for blocks of 256 threads: a block has 2^column_bits groups side by side, and as many
// such lines of threads as it has threads for; each thread does some rows.
struct Tiles {
    i32 height, width;
    i32 column_bits;   // 0..8
    i32 rows;          // of a thread
    i32 across, down;  // blocks side by side, and one below the other, in each image
};

struct TileThread {
    i64 image;
    i32 top;     // of the block
    i32 line;    // of the thread, among the block's lines
    i32 column;  // of the thread's group
};

PLR_BODY i32 tile_lines(const Tiles& t) { return 256 >> t.column_bits; }
PLR_BODY i32 tile_height(const Tiles& t) { return tile_lines(t) * t.rows; }

PLR_BODY TileThread tile_thread(const Tiles& t, const At& at) {
    const u32 row_of_blocks = at.x / (u32)t.across, across = at.x % (u32)t.across;
    const i32 lane = (i32)at.thread & ((1 << t.column_bits) - 1);
    return {row_of_blocks / (u32)t.down, (i32)(row_of_blocks % (u32)t.down) * tile_height(t),
            (i32)at.thread >> t.column_bits, GROUP * ((i32)(across << t.column_bits) + lane)};
}

}  // namespace cuda
}  // namespace plr

#endif

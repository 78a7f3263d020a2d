// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
//
// A draw is a pure function of (seed, sample, stream, index): no state, no order. The 128-bit counter is laid out as
//     word 0: index        word 1: stream + 256 * substream        words 2, 3: sample id, low half first
// so that a new stream never disturbs another one. Streams are listed here and nowhere else.
#ifndef PLR_CORE_PHILOX_H
#define PLR_CORE_PHILOX_H

#include "platform.h"

namespace plr {

enum Stream : u32 {
    STREAM_PERMUTATION = 1,     // noise: words of the Fisher-Yates shuffle, word n drives step 255 - n
    STREAM_LATTICE = 2,         // noise: substream = octave, words 0..2 = lattice offset along x, y, z
    STREAM_CANDIDATE = 3,       // bank: index = round, words = height, width, top, left
    STREAM_PASTE = 4,           // paste: index 0 word 0 = count; index 1 + p = patch, lung pixel, alpha
    STREAM_BLUR_WINDOW = 5,     // blur: index = window, words = height, width, top, left
    STREAM_SHUFFLE_WINDOW = 6,  // shuffle: index = window, words as above
    STREAM_SHUFFLE_BLOCK = 7,   // shuffle: substream = block of the grid, words of its Fisher-Yates shuffle
    STREAM_SHUFFLE_INSIDE = 8,  // shuffle: substream = window, words of its Fisher-Yates shuffle
    STREAM_PLACE = 9,           // paste: substream = four tries, index = patch, words = other lung pixels to try
    STREAM_BANK_NOISE = 10,     // bank: index 0 words 0..2 = cells, octaves, persistence of a noise image
    STREAM_FRESH = 11,          // fresh: substream = patch; index 2r words = height, width, top, left; 2r + 1 word 0 = image
    STREAM_CLOUD = 12,          // clouds: index 0 = combination, threshold, alpha; index 1 + try words 0, 1 = seed
    STREAM_CLEAN = 13,          // data sets, in Python: index 0 word 0 = whether the sample stays unaltered
};

struct Words {
    u32 w[4];
};

PLR_HD Words philox(u64 seed, u64 sample, u32 stream, u32 index) {
    u32 c0 = index, c1 = stream, c2 = (u32)sample, c3 = (u32)(sample >> 32);
    u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const u64 a = (u64)0xD2511F53u * c0;
        const u64 b = (u64)0xCD9E8D57u * c2;
        c0 = (u32)(b >> 32) ^ c1 ^ k0;
        c1 = (u32)b;
        c2 = (u32)(a >> 32) ^ c3 ^ k1;
        c3 = (u32)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    Words out = {{c0, c1, c2, c3}};
    return out;
}

PLR_HD u32 substream(u32 stream, u32 number) { return stream + (number << 8); }

// An integer in [0, n): the high half of word * n. Its bias is below n / 2^32.
PLR_HD u32 below(u32 word, u32 n) { return (u32)(((u64)word * n) >> 32); }

// Fisher-Yates from the end: element i swaps with element below(word, i + 1), words 0, 1, 2, ... of the stream in order,
// four from each counter value. Words are made ahead in blocks, lane by lane, so that compilers make many at once.
template <typename T>
PLR_HD void fisher_yates(u64 seed, u64 sample, u32 stream, T* items, u32 count) {
    enum { AHEAD = 32 };
    u32 words[4][AHEAD];
    u32 used = 4 * AHEAD, index = 0;
    for (u32 i = count; i-- > 1;) {
        if (used == 4 * AHEAD) {
            for (u32 k = 0; k < AHEAD; ++k) {
                const Words block = philox(seed, sample, stream, index + k);
                words[0][k] = block.w[0];
                words[1][k] = block.w[1];
                words[2][k] = block.w[2];
                words[3][k] = block.w[3];
            }
            index += AHEAD;
            used = 0;
        }
        const u32 j = below(words[used & 3u][used >> 2], i + 1u);
        ++used;
        const T swapped = items[i];
        items[i] = items[j];
        items[j] = swapped;
    }
}

}  // namespace plr

#endif

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

// Words 0, 1, 2, ... of one stream in order; four come from each counter value.
struct WordSequence {
    u64 seed, sample;
    u32 stream, position;
    Words block;
};

PLR_HD WordSequence word_sequence(u64 seed, u64 sample, u32 stream) {
    WordSequence s = {seed, sample, stream, 0u, {{0u, 0u, 0u, 0u}}};
    return s;
}

PLR_HD u32 next_word(WordSequence& s) {
    if ((s.position & 3u) == 0u) s.block = philox(s.seed, s.sample, s.stream, s.position >> 2);
    return s.block.w[s.position++ & 3u];
}

// Fisher-Yates from the end: element i swaps with element below(word, i + 1).
template <typename T>
PLR_HD void fisher_yates(WordSequence words, T* items, u32 count) {
    for (u32 i = count; i-- > 1;) {
        const u32 j = below(next_word(words), i + 1u);
        const T swapped = items[i];
        items[i] = items[j];
        items[j] = swapped;
    }
}

}  // namespace plr

#endif

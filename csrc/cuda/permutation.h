// The Fisher-Yates shuffle of core/philox.h, all elements at once.
//
// The shuffle does steps i = n - 1 .. 1: swap the elements at i and j[i], j[i] <= i. After its own step, place i is not
// touched again. So what ends there is found backwards: it came from place j[i]; the step before that changed this place is
// the smallest k > i with j[k] == j[i], and brought what was at k; from then on, place k was changed last by the
// smallest k' > k with j[k'] == k. And so on until no step is left: then the element is the one that was there in the beginning.
// The chain is short: its expected length is the logarithm of n.
#ifndef PLR_CUDA_PERMUTATION_H
#define PLR_CUDA_PERMUTATION_H

#include "../core/noise.h"
#include "launch.h"

namespace plr {
namespace cuda {

// P of a noise sample, by 256 threads in three phases.
struct PermutationMaker {
    struct Shared {
        u32 target[LATTICE_PERIOD / 4];  // j[i], four to a word
        u32 came_from[LATTICE_PERIOD];   // smallest k > i with j[k] == i; NOWHERE if there is none
    };
    enum : u32 { NOWHERE = LATTICE_PERIOD };

    // Thread i < 64 draws the words of steps 255 - 4i .. 252 - 4i.
    PLR_BODY void draw(u32 thread, u64 seed, u64 sample, Shared& s) {
        s.came_from[thread] = NOWHERE;
        if (thread >= LATTICE_PERIOD / 4) return;
        const Words words = philox(seed, sample, STREAM_PERMUTATION, thread);
        u32 packed = 0;
        for (u32 k = 0; k < 4; ++k) packed |= below(words.w[k], LATTICE_PERIOD - (4 * thread + k)) << (24 - 8 * k);
        s.target[LATTICE_PERIOD / 4 - 1 - thread] = packed;  // the step of place 0 swaps nothing: below(word, 1) is 0
    }

    PLR_BODY u32 target_of(u32 place, const Shared& s) { return s.target[place >> 2] >> (8 * (place & 3)) & 255u; }

    PLR_BODY void link(u32 thread, Shared& s) {
        const u32 to = target_of(thread, s);
        if (to != thread) atomic_min(&s.came_from[to], thread);
    }

    PLR_BODY u8 element(u32 thread, const Shared& s) {
        const u32 wanted = target_of(thread, s);
        u32 place = wanted, next = next_with_target(wanted, thread + 1, s);
        while (next != NOWHERE) {
            place = next;
            next = s.came_from[place];
        }
        return (u8)place;
    }

  private:
    // The smallest k >= from with j[k] == wanted: four at a time, by the lowest zero byte of word ^ wanted.
    PLR_BODY u32 next_with_target(u32 wanted, u32 from, const Shared& s) {
        const u32 pattern = wanted * 0x01010101u;
        u32 skip = from & 3;
        for (u32 w = from >> 2; w < LATTICE_PERIOD / 4; ++w) {
            const u32 differs = s.target[w] ^ pattern;
            // The lowest of these bits is exact, and bytes before `from` are not looked at.
            const u32 zeros = zero_bytes(differs | (skip ? (1u << (8 * skip)) - 1u : 0u));
            skip = 0;
            if (zeros != 0) return 4 * w + (zeros & 0x80u ? 0u : zeros & 0x8000u ? 1u : zeros & 0x800000u ? 2u : 3u);
        }
        return NOWHERE;
    }

    PLR_BODY u32 zero_bytes(u32 x) { return (x - 0x01010101u) & ~x & 0x80808080u; }
};

}  // namespace cuda
}  // namespace plr

#endif

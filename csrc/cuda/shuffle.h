// PLR-L: local pixel shuffling. All elements of a Fisher-Yates shuffle at once, as permutation.h does it for noise; steps that
// swap with the same place are chained to lists, because pieces are large.
#ifndef PLR_CUDA_SHUFFLE_H
#define PLR_CUDA_SHUFFLE_H

#include "windows.h"

namespace plr {
namespace cuda {

struct ShufflePieceParams {
    ShuffleParams shuffle;
    SampleIds samples;
    const void* images;  // [batch][height][width]
    void* out;           // likewise; not the same
    const u32* owners;   // [batch][height][width] 1 + the last window over a pixel, for windows
    i32 pieces;          // of each image: blocks of the grid, or windows
    i32 chunks;          // blocks of threads for each piece, of CHUNK pixels each; for pieces in global memory
    i64 first;           // piece of the batch that this launch begins with
    i64 most;            // pixels of a piece, at most
    u32* memory;         // [pieces of this launch][3][most] for pieces in global memory
};

struct Piece {
    Box box;
    u64 sample;
    u32 stream;
    u32 owner;  // what the map of windows says where this piece shows; 0: it shows everywhere
    i64 start;  // of its image, in pixels
};

PLR_BODY Piece piece_of(const ShufflePieceParams& p, i64 number) {
    const ShuffleParams& s = p.shuffle;
    const i64 image = number / p.pieces;
    const i32 in_image = (i32)(number % p.pieces);
    Piece piece;
    piece.sample = sample_id(p.samples, image);
    piece.start = image * s.height * s.width;
    if (s.windows.count > 0) {
        piece.box = window_box(s.windows, s.seed, piece.sample, STREAM_SHUFFLE_WINDOW, (u32)in_image, (i32)s.height,
                               (i32)s.width);
        piece.stream = substream(STREAM_SHUFFLE_INSIDE, (u32)in_image);
        piece.owner = (u32)in_image + 1;
        return piece;
    }
    const i64 by = in_image / s.grid_columns, bx = in_image % s.grid_columns;
    piece.box.top = (i32)block_start(by, s.height, s.grid_rows);
    piece.box.left = (i32)block_start(bx, s.width, s.grid_columns);
    piece.box.height = (i32)block_start(by + 1, s.height, s.grid_rows) - piece.box.top;
    piece.box.width = (i32)block_start(bx + 1, s.width, s.grid_columns) - piece.box.left;
    piece.stream = substream(STREAM_SHUFFLE_BLOCK, (u32)in_image);
    piece.owner = 0;
    return piece;
}

PLR_BODY u32 pixels_in(const Piece& piece) { return (u32)piece.box.height * (u32)piece.box.width; }

// Element k of a piece is this pixel of the batch.
PLR_BODY i64 pixel_of(const ShufflePieceParams& p, const Piece& piece, u32 k) {
    const u32 width = (u32)piece.box.width;
    return piece.start + (piece.box.top + (i64)(k / width)) * p.shuffle.width + piece.box.left + k % width;
}

// A step swaps element i with target[i] <= i; head[j], next[...] list the steps with target j, in no order. Index is the
// type of the latter two.
template <typename Index>
struct SwapLists {
    u32* head;
    Index* next;
    Index* target;
    enum : Index { NONE = (Index)~(Index)0 };

    // The four steps whose words come from counter value c, of n - 1 steps from element n - 1 down.
    PLR_MEMBER void link(const ShufflePieceParams& p, const Piece& piece, u32 c, u32 n) const {
        const Words words = philox(p.shuffle.seed, piece.sample, piece.stream, c);
        PLR_UNROLL
        for (u32 w = 0; w < 4; ++w) {
            if (4 * c + w >= n) continue;
            const u32 i = n - 1 - (4 * c + w), to = below(words.w[w], i + 1);  // element 0: below(word, 1) is 0
            target[i] = (Index)to;
            if (to != i) next[i] = (Index)atomic_exchange(head + to, i);
        }
    }

    // Which element ends at place k: see permutation.h.
    PLR_MEMBER u32 element(u32 k) const {
        u32 place = target[k], after = k;
        for (;;) {
            u32 nearest = ~0u;
            for (u32 step = head[place]; step != (u32)NONE; step = next[step])
                if (step > after && step < nearest) nearest = step;
            if (nearest == ~0u) return place;
            place = after = nearest;
        }
    }
};

template <typename T, typename Index>
PLR_BODY void move_pixel(const ShufflePieceParams& p, const Piece& piece, u32 k, const SwapLists<Index>& lists) {
    const i64 to = pixel_of(p, piece, k);
    if (piece.owner != 0 && p.owners[to] != piece.owner) return;
    ((T*)p.out)[to] = ((const T*)p.images)[pixel_of(p, piece, lists.element(k))];
}

// One block for each piece, in shared memory.
template <typename T>
struct ShuffleShared {
    static constexpr u32 threads = 256, blocks = 4, phases = 3;
    enum : u32 { MOST = 4096 };
    typedef ShufflePieceParams Params;
    struct Shared {
        u32 head[MOST];
        u16 next[MOST], target[MOST];
    };
    struct Thread {
        Piece piece;
    };

    template <int phase>
    PLR_BODY void run(const At& at, Thread& mine, Shared& shared, const Params& p) {
        if (phase == 0) mine.piece = piece_of(p, p.first + at.x);
        const Piece& piece = mine.piece;
        const u32 n = pixels_in(piece);
        const SwapLists<u16> lists = {shared.head, shared.next, shared.target};
        if (phase == 0) {
            for (u32 k = at.thread; k < n; k += threads) shared.head[k] = SwapLists<u16>::NONE;
        } else if (phase == 1) {
            for (u32 c = at.thread; 4 * c < n; c += threads) lists.link(p, piece, c, n);
        } else {
            for (u32 k = at.thread; k < n; k += threads) move_pixel<T>(p, piece, k, lists);
        }
    }
};

// The same for large pieces, in global memory: a launch for each phase, `chunks` blocks for each piece.
template <typename T, int STEP>
struct ShuffleGlobal {
    static constexpr u32 threads = 256, blocks = 4, phases = 1, CHUNK = 4096;
    typedef ShufflePieceParams Params;
    typedef Nothing Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared&, const Params& p) {
        const u32 number = at.x / (u32)p.chunks, chunk = at.x % (u32)p.chunks;
        const Piece piece = piece_of(p, p.first + number);
        const u32 n = pixels_in(piece), first = chunk * CHUNK, end = n - first < CHUNK ? n : first + CHUNK;
        if (first >= n) return;
        u32* const memory = p.memory + 3 * p.most * number;
        const SwapLists<u32> lists = {memory, memory + p.most, memory + 2 * p.most};
        if constexpr (STEP == 0) {
            for (u32 k = first + at.thread; k < end; k += threads) lists.head[k] = SwapLists<u32>::NONE;
        } else if constexpr (STEP == 1) {
            for (u32 c = first / 4 + at.thread; 4 * c < end; c += threads) lists.link(p, piece, c, n);
        } else {
            for (u32 k = first + at.thread; k < end; k += threads) move_pixel<T>(p, piece, k, lists);
        }
    }
};

}  // namespace cuda
}  // namespace plr

#endif

// PLR-L: local pixel shuffling of a batch.
//
// A Fisher-Yates step is two loads and two stores in the first-level cache, which take about as long as its random word.
// So words are made in vectors, ahead of their use; the next piece's pixels are fetched while this one is shuffled; and
// what later windows hide is not shuffled at all.

// Where the next steps of a Fisher-Yates shuffle swap to: below(word s, elements left at step s) is the upper half of an
// entry. Entries stand as the lanes leave them: first word 0 of all counter values, then word 1, ...
struct SwapsAhead {
    enum : u32 { GROUPS = 3, COUNTERS = GROUPS * WORD_LANES, STEPS = 4 * COUNTERS };
    u64 products[4][COUNTERS];

    // From step `first` on, when `left` elements are not yet in place.
    void make(u64 seed, u64 sample, u32 stream, u32 first, u32 left) {
        Lanes words[4][GROUPS], taken = {};
        philox_lanes(seed, sample, stream, first / 4, words);
        for (u32 k = 0; k < WORD_LANES; ++k) taken[k] = 4 * k;
        for (u32 word = 0; word < 4; ++word)
            for (u32 g = 0; g < GROUPS; ++g) {
                const Lanes product = multiply_low(words[word][g], (u64)(left - 4 * g * WORD_LANES - word) - taken);
                __builtin_memcpy(products[word] + g * WORD_LANES, &product, sizeof(product));
            }
    }

    u32 target(u32 counter, u32 word) const { return (u32)(products[word][counter] >> 32); }
};

// Four elements with few stores: a shuffle in the first-level cache waits for those.
static inline void write_four(u8* to, const u8 (&four)[4]) {
    for (i32 k = 0; k < 4; ++k) to[k] = four[k];
}
static inline void write_four(float* to, const float (&four)[4]) {
    typedef float Four __attribute__((vector_size(16)));
    const Four all = {four[0], four[1], four[2], four[3]};
    __builtin_memcpy(to, &all, sizeof(all));
}

// fisher_yates() of philox.h on the elements from `needed` on; the others stay, in any order. The words are made one go
// ahead of the swaps, so that the processor works on both at once. between() is called after each go.
template <typename T, typename F>
static void shuffle_down_to(u64 seed, u64 sample, u32 stream, T* items, u32 count, u32 needed, const F& between) {
    T* end = items + count;
    T* const stop = items + (needed > 1 ? needed : 1);
    if (end <= stop) return;
    // One of the two that swap is in place then; it is returned, to be written with its neighbours.
    const auto swapped = [items](const T* element, u32 j) {
        const T last = items[j];
        items[j] = *element;
        return last;
    };
    SwapsAhead ahead[2];
    ahead[0].make(seed, sample, stream, 0, count);
    u32 made = 0, go = 0;
    for (; end - stop >= (i64)SwapsAhead::STEPS; go ^= 1u) {
        made += SwapsAhead::STEPS;
        ahead[go ^ 1u].make(seed, sample, stream, made, count - made);
        for (u32 k = 0; k < SwapsAhead::COUNTERS; ++k, end -= 4) {
            const T d = swapped(end - 1, ahead[go].target(k, 0)), c = swapped(end - 2, ahead[go].target(k, 1));
            const T b = swapped(end - 3, ahead[go].target(k, 2)), a = swapped(end - 4, ahead[go].target(k, 3));
            const T four[4] = {a, b, c, d};
            write_four(end - 4, four);
        }
        between();
    }
    for (u32 step = 0; end > stop; ++step) {
        --end;
        *end = swapped(end, ahead[go].target(step / 4, step % 4));
    }
}

template <typename T>
class Shuffle {
  public:
    Shuffle(const ShuffleParams& p, bool in_place)
        : p_(p),
          keep_(p.windows.count > 0 && in_place),
          words_(p.windows.count > 0 ? (p.width + 63) / 64 : 0),
          scratch_(Scratch::need<T>(pixels()) + Scratch::need<T>(keep_ ? pixels() : 0) +
                   Scratch::need<u64>(p.height * words_) + Scratch::need<Visible>(p.windows.count)) {}

    bool failed() const { return scratch_.failed(); }

    void prepare() {
        held_ = scratch_.template take<T>(pixels());
        original_ = scratch_.template take<T>(keep_ ? pixels() : 0);
        covered_ = scratch_.template take<u64>(p_.height * words_);
        visible_ = scratch_.template take<Visible>(p_.windows.count);
    }

    void image(const T* source, T* target, u64 sample) {
        sample_ = sample;
        i64 pieces = (i64)p_.grid_rows * p_.grid_columns;
        if (p_.windows.count > 0) {
            find_visible();
            pieces = found_;
            // Windows always take the original pixels, as Models Genesis does.
            if (keep_)
                source = (const T*)__builtin_memcpy(original_, source, (unsigned long)pixels() * sizeof(T));
            else
                copy_uncovered(source, target);
        }
        Piece next = pieces > 0 ? piece(0) : Piece{};
        for (i64 number = 0; number < pieces; ++number) {
            const Piece now = next;
            if (number + 1 < pieces) next = piece(number + 1);
            shuffle(now, next, source, target);
        }
    }

  private:
    struct Piece {
        Box box;
        u32 stream;
        i32 first_row;  // rows before this one will be overwritten
    };
    struct Visible {
        u32 window;
        i32 first_row;
    };

    i64 pixels() const { return p_.height * p_.width; }

    Box window(u32 number) const {
        return window_box(p_.windows, p_.seed, sample_, STREAM_SHUFFLE_WINDOW, number, (i32)p_.height, (i32)p_.width);
    }

    // List the windows that later ones leave something of, the last one first, each with its first row that shows: with
    // 1,000 windows of the default size on an image a quarter of all steps is never seen, with 10,000 it is seven of eight.
    void find_visible() {
        __builtin_memset(covered_, 0, (unsigned long)(p_.height * words_) * sizeof(u64));
        found_ = 0;
        for (i32 number = p_.windows.count - 1; number >= 0; --number) {
            const Box box = window((u32)number);
            const i32 first_row = cover(box);
            if (first_row < box.height) visible_[found_++] = {(u32)number, first_row};
        }
    }

    // Mark a box as covered; return its first row that was not covered before, or its height.
    i32 cover(const Box& box) {
        const i64 right = box.left + box.width - 1, first_word = box.left >> 6, last_word = right >> 6;
        const auto mask = [&](i64 word) {
            return (word == first_word ? ~0ull << (box.left & 63) : ~0ull) &
                   (word == last_word ? ~0ull >> (63 - (right & 63)) : ~0ull);
        };
        u64* bits = covered_ + box.top * words_;
        i64 first_row = box.height;
        for (i64 word = first_word; word <= last_word; ++word) {
            const u64 inside = mask(word);
            i64 y = 0;
            while (y < first_row && (inside & ~bits[y * words_ + word]) == 0) ++y;
            first_row = y;
        }
        for (i64 word = first_word; word <= last_word; ++word) {
            const u64 inside = mask(word);
            for (i64 y = first_row; y < box.height; ++y) bits[y * words_ + word] |= inside;
        }
        return (i32)first_row;
    }

    // 64 pixels and more at a time: windows are written over what is copied too much.
    void copy_uncovered(const T* source, T* target) const {
        for (i64 y = 0; y < p_.height; ++y) {
            const u64* row = covered_ + y * words_;
            for (i64 word = 0, end; word < words_; word = end + 1) {
                for (end = word; end < words_ && row[end] != ~0ull;) ++end;
                const i64 left = word * 64, right = end * 64 < p_.width ? end * 64 : p_.width;
                if (right > left)
                    __builtin_memcpy(target + y * p_.width + left, source + y * p_.width + left,
                                     (unsigned long)(right - left) * sizeof(T));
            }
        }
    }

    Piece piece(i64 number) const {
        if (p_.windows.count > 0) {
            const Visible& one = visible_[found_ - 1 - number];
            return {window(one.window), substream(STREAM_SHUFFLE_INSIDE, one.window), one.first_row};
        }
        const i64 by = number / p_.grid_columns, bx = number % p_.grid_columns;
        Box box;
        box.top = (i32)block_start(by, p_.height, p_.grid_rows);
        box.left = (i32)block_start(bx, p_.width, p_.grid_columns);
        box.height = (i32)block_start(by + 1, p_.height, p_.grid_rows) - box.top;
        box.width = (i32)block_start(bx + 1, p_.width, p_.grid_columns) - box.left;
        return {box, substream(STREAM_SHUFFLE_BLOCK, (u32)number), 0};
    }

    void shuffle(const Piece& now, const Piece& next, const T* source, T* target) {
        const Box& box = now.box;
        const u32 count = (u32)box.height * (u32)box.width;
        const unsigned long row_bytes = (unsigned long)box.width * sizeof(T);
        for (i64 y = 0; y < box.height; ++y)
            __builtin_memcpy(held_ + y * box.width, source + (box.top + y) * p_.width + box.left, row_bytes);
        // The pixels of the next piece come from far away: ask for some of its rows after each go.
        const i64 rows = 1 + (i64)next.box.height * SwapsAhead::STEPS / count;
        i64 asked = 0;
        const auto ask = [&] {
            for (i64 end = asked + rows; asked < end && asked < next.box.height; ++asked) {
                const i64 first = (next.box.top + asked) * p_.width + next.box.left;
                for (i64 x = 0; x < next.box.width; x += 64 / (i64)sizeof(T)) {
                    __builtin_prefetch(source + first + x);
                    __builtin_prefetch(target + first + x, 1);
                }
            }
        };
        ask();
        shuffle_down_to(p_.seed, sample_, now.stream, held_, count, (u32)(now.first_row * box.width), ask);
        for (i64 y = now.first_row; y < box.height; ++y)
            __builtin_memcpy(target + (box.top + y) * p_.width + box.left, held_ + y * box.width, row_bytes);
    }

    const ShuffleParams& p_;
    const bool keep_;  // a copy of the original, because windows are written over it
    const i64 words_;  // of 64 bits in a row of `covered`
    Scratch scratch_;
    T* held_;           // [pixels] the piece that is being shuffled
    T* original_;       // [pixels] if kept
    u64* covered_;      // [height][words] pixels inside windows
    Visible* visible_;  // [windows.count]
    i64 found_ = 0;
    u64 sample_ = 0;
};

template <typename T>
static int shuffle_images(const ShuffleParams& p, const ImageBatch& batch, i64 first, i64 last) {
    Shuffle<T> shuffle(p, batch.source == batch.target);
    if (shuffle.failed()) return STATUS_NO_MEMORY;
    shuffle.prepare();
    const i64 pixels = p.height * p.width;
    for (i64 n = first; n < last; ++n)
        shuffle.image((const T*)batch.source + n * pixels, (T*)batch.target + n * pixels, (u64)batch.samples[n]);
    return STATUS_OK;
}

int shuffle(const ShuffleParams& p, const ImageBatch& batch, i64 first, i64 last) {
    if (batch.pixel == PIXEL_UINT8) return shuffle_images<u8>(p, batch, first, last);
    return shuffle_images<float>(p, batch, first, last);
}

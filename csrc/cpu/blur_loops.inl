// PLR-G: Gaussian blur of a batch.
//
// One sweep down each image. A row is blurred along x into a ring of as many rows as the kernel has taps, and the ring is
// blended along y at once, so memory is read once and written once. What a row is needed for is done before it is
// overwritten: `source` may be `target`.
//
// float32: weighted sums in the order of the taps, fused. uint8: weights in 1/256, none negative, 1 in sum, so that what
// the pass along x leaves lies in 0..65280 and fits 16 bits; integers are exact in any order.

#if defined(__clang__)
#define PLR_NO_ALIAS _Pragma("clang loop vectorize(assume_safety)")
#else
#define PLR_NO_ALIAS _Pragma("GCC ivdep")
#endif

// The weighted sum of `values`; the last argument tells what is wanted: a sum along x, or a pixel from a column of those.
template <i32 TAPS>
static inline float blended(const float* weights, const float* values, const float*) {
    float sum = weights[0] * values[0];
    for (i32 t = 1; t < TAPS; ++t) sum = fma(weights[t], values[t], sum);
    return sum;
}

template <i32 TAPS>
static inline u16 blended(const u16* weights, const u16* values, const u16*) {
    u16 sum = 0;
    for (i32 t = 0; t < TAPS; ++t) sum = (u16)(sum + weights[t] * values[t]);
    return sum;
}

// A sum along y takes 24 bits. Two of 16 bits take half the time: `high` adds up the products over 512, each rounded
// down, `low` the products modulo 2^16. The rounding loses less than 512 a tap, so low - 512 * high is just that loss.
template <i32 TAPS>
static inline u8 blended(const u16* weights, const u16* values, const u8*) {
    u16 high = 0, low = 0;
    for (i32 t = 0; t < TAPS; ++t) {
        const u16 weight = (u16)(weights[t] << 7);
        high = (u16)(high + (u16)(((u32)weight * values[t]) >> 16));
        low = (u16)(low + weights[t] * values[t]);
    }
    const u16 lost = (u16)(low - (high << 9));
    return (u8)((u16)(high + 64 + (lost >> 9)) >> 7);
}

enum : i64 { BLUR_COLUMNS = 64 };  // the pieces that rows are done in

// One row on its way through both passes.
template <typename T, typename Sum>
struct BlurStep {
    const Sum* weights;  // [taps]
    i32 taps;
    i64 width;
    const Sum* padded;     // [width + taps - 1] the newest row with its mirrored ends
    Sum* const* ring;      // [taps][width] rows blurred along x, the oldest first; the last one is written
    T* out;                // [width] the row in the middle of the ring, blurred
    const T* next_source;  // [width] what the next step will read,
    const T* next_target;  // [width] and write
};

// Calls columns(left, n) for one piece of the row after the other. The rows that come next are asked for a little at a
// time; left to the hardware, which does not foresee the jump to the next row, float32 images wait for memory a third of
// the time.
template <typename T, typename Sum, typename F>
static inline void in_pieces(const BlurStep<T, Sum>& step, const F& columns) {
    const i64 width = step.width;
    const T* next_source = step.next_source;
    const T* next_target = step.next_target;
    i64 left = 0;
    for (; left + BLUR_COLUMNS <= width; left += BLUR_COLUMNS) {
        for (i64 x = left; x < left + BLUR_COLUMNS; x += 64 / (i64)sizeof(T)) {
            __builtin_prefetch(next_source + x);
            __builtin_prefetch(next_target + x, 1);
        }
        columns(left, BLUR_COLUMNS);
    }
    columns(left, width - left);
}

// Both passes; what the pass along x makes enters the pass along y in a register.
template <i32 TAPS, typename T, typename Sum>
static void blur_row(const BlurStep<T, Sum>& step) {
    Sum weights[TAPS];
    for (i32 t = 0; t < TAPS; ++t) weights[t] = step.weights[t];
    const Sum* rows[TAPS - 1];
    for (i32 t = 0; t < TAPS - 1; ++t) rows[t] = step.ring[t];
    const Sum* padded = step.padded;
    Sum* newest = step.ring[TAPS - 1];
    T* out = step.out;
    in_pieces(step, [&](i64 left, i64 n) {
        PLR_NO_ALIAS
        for (i64 x = left; x < left + n; ++x) {
            Sum along_x[TAPS], along_y[TAPS];
            for (i32 t = 0; t < TAPS; ++t) along_x[t] = padded[x + t];
            for (i32 t = 0; t < TAPS - 1; ++t) along_y[t] = rows[t][x];
            newest[x] = along_y[TAPS - 1] = blended<TAPS>(weights, along_x, weights);
            out[x] = blended<TAPS>(weights, along_y, out);
        }
    });
}

static inline float weighted(float sum, float weight, float value) { return fma(weight, value, sum); }
static inline i32 weighted(i32 sum, u16 weight, u16 value) { return sum + (i32)weight * (i32)value; }
static inline void store(float sum, float* out) { *out = sum; }
static inline void store(i32 sum, u16* out) { *out = (u16)sum; }
static inline void store(i32 sum, u8* out) { *out = round_q16(sum); }

// One of the passes for any number of taps: row(t) is what tap t weighs. Tap by tap over sums in the first-level cache.
template <typename Total, typename Sum, typename Out, typename Row>
static inline void blend_any(const Sum* weights, i32 taps, i64 n, const Row& row, Out* out) {
    Total totals[BLUR_COLUMNS];
    for (i32 t = 0; t < taps; ++t) {
        const Sum* values = row(t);
        const Sum weight = weights[t];
        PLR_NO_ALIAS
        for (i64 x = 0; x < n; ++x)
            totals[x] = t == 0 ? (Total)weight * (Total)values[x] : weighted(totals[x], weight, values[x]);
    }
    PLR_NO_ALIAS
    for (i64 x = 0; x < n; ++x) store(totals[x], out + x);
}

template <typename Total, typename T, typename Sum>
static void blur_row_any(const BlurStep<T, Sum>& step) {
    const i32 taps = step.taps;
    in_pieces(step, [&](i64 left, i64 n) {
        blend_any<Total>(step.weights, taps, n, [&](i32 t) { return step.padded + left + t; },
                         step.ring[taps - 1] + left);
        blend_any<Total>(step.weights, taps, n, [&](i32 t) { return step.ring[t] + left; }, step.out + left);
    });
}

static inline void blur_any(const BlurStep<float, float>& step) { blur_row_any<float>(step); }
static inline void blur_any(const BlurStep<u8, u16>& step) { blur_row_any<i32>(step); }

template <typename T, typename Sum>
static void blur_row(const BlurStep<T, Sum>& step) {
    switch (step.taps) {
        case 3: blur_row<3>(step); break;
        case 5: blur_row<5>(step); break;
        case 7: blur_row<7>(step); break;
        case 9: blur_row<9>(step); break;
        default: blur_any(step); break;
    }
}

static inline float tap_weight(const BlurParams& p, i32 t, const float*) { return p.weights[t]; }
static inline u16 tap_weight(const BlurParams& p, i32 t, const u16*) { return (u16)p.weights_q8[t]; }

// T is the pixel, Sum what the pass along x leaves: float32 and float32, or uint8 and 16 bits.
template <typename T, typename Sum>
class Blur {
  public:
    explicit Blur(const BlurParams& p)
        : p_(p),
          half_(p.taps / 2),
          last_rows_(half_ < p.height ? half_ + 1 : p.height),
          lead_((half_ + ALIGNED - 1) / ALIGNED * ALIGNED),
          scratch_(need()) {}

    bool failed() const { return scratch_.failed(); }

    void prepare() {
        weights_ = scratch_.template take<Sum>(p_.taps);
        for (i32 t = 0; t < p_.taps; ++t) weights_[t] = tap_weight(p_, t, weights_);
        // The row itself is aligned, its mirrored left end stands before it.
        padded_ = scratch_.template take<Sum>(lead_ + p_.width + half_) + lead_ - half_;
        ring_ = scratch_.template take<Sum*>(p_.taps);
        for (i32 t = 0; t < p_.taps; ++t) {
            ring_[t] = scratch_.template take<Sum>(p_.width);
            __builtin_memset(ring_[t], 0, (unsigned long)p_.width * sizeof(Sum));
        }
        mirrored_ = scratch_.template take<i64>(2 * half_);
        for (i64 x = 0; x < half_; ++x) {
            mirrored_[x] = reflect_101(x - half_, p_.width);
            mirrored_[half_ + x] = reflect_101(p_.width + x, p_.width);
        }
        bottom_ = scratch_.template take<T>(last_rows_ * p_.width);
        spare_ = scratch_.template take<T>(p_.width);
        inside_ = scratch_.template take<u8>(p_.windows.count > 0 ? p_.height * p_.width : 0);
    }

    void image(const T* source, T* target, u64 sample) {
        const bool windowed = p_.windows.count > 0;
        if (windowed) mark_windows(sample);
        // Rows below the bottom mirror rows that may have been overwritten by then.
        __builtin_memcpy(bottom_, source + (p_.height - last_rows_) * p_.width, row_bytes() * (u64)last_rows_);
        for (i64 newest = -half_; newest < p_.height + half_; ++newest) {
            pad(row(source, newest));
            const i64 y = newest - half_;  // above the image while the ring fills
            T* line = target + (y < 0 ? 0 : y) * p_.width;
            blur_row(BlurStep<T, Sum>{weights_, p_.taps, p_.width, padded_, ring_, windowed || y < 0 ? spare_ : line,
                                      row(source, newest + 1), line + (y + 1 < p_.height ? p_.width : 0)});
            if (windowed && y >= 0) keep_outside(source + y * p_.width, inside_ + y * p_.width, line);
            turn_ring();
        }
    }

  private:
    enum : i64 { ALIGNED = 64 / sizeof(Sum) };

    u64 need() const {
        return Scratch::need<Sum>(p_.taps) + Scratch::need<Sum>(lead_ + p_.width + half_) +
               Scratch::need<Sum*>(p_.taps) + (u64)p_.taps * Scratch::need<Sum>(p_.width) +
               Scratch::need<i64>(2 * half_) + Scratch::need<T>(last_rows_ * p_.width) + Scratch::need<T>(p_.width) +
               Scratch::need<u8>(p_.windows.count > 0 ? p_.height * p_.width : 0);
    }

    unsigned long row_bytes() const { return (unsigned long)p_.width * sizeof(T); }

    // Row y of the image as it was, mirrored beyond the top and the bottom.
    const T* row(const T* source, i64 y) const {
        if (y < 0) return source + reflect_101(y, p_.height) * p_.width;
        if (y < p_.height) return source + y * p_.width;
        return bottom_ + (reflect_101(y, p_.height) - (p_.height - last_rows_)) * p_.width;
    }

    void pad(const T* line) {
        Sum* middle = padded_ + half_;
        for (i64 x = 0; x < half_; ++x) {
            padded_[x] = line[mirrored_[x]];
            middle[p_.width + x] = line[mirrored_[half_ + x]];
        }
        PLR_NO_ALIAS
        for (i64 x = 0; x < p_.width; ++x) middle[x] = line[x];
    }

    // The oldest row makes room for the next one.
    void turn_ring() {
        Sum* oldest = ring_[0];
        for (i32 t = 0; t + 1 < p_.taps; ++t) ring_[t] = ring_[t + 1];
        ring_[p_.taps - 1] = oldest;
    }

    void mark_windows(u64 sample) {
        __builtin_memset(inside_, 0, (unsigned long)(p_.height * p_.width));
        for (i32 w = 0; w < p_.windows.count; ++w) {
            const Box box = window_box(p_.windows, p_.seed, sample, STREAM_BLUR_WINDOW, (u32)w, (i32)p_.height,
                                       (i32)p_.width);
            for (i64 y = box.top; y < box.top + box.height; ++y)
                __builtin_memset(inside_ + y * p_.width + box.left, 1, (unsigned long)box.width);
        }
    }

    void keep_outside(const T* source, const u8* inside, T* target) const {
        const T* blurred = spare_;
        const i64 width = p_.width;
        PLR_NO_ALIAS
        for (i64 x = 0; x < width; ++x) target[x] = inside[x] != 0 ? blurred[x] : source[x];
    }

    const BlurParams& p_;
    const i64 half_;
    const i64 last_rows_;  // as many rows at the bottom as mirrored rows below it may be
    const i64 lead_;
    Scratch scratch_;
    Sum* weights_;
    Sum* padded_;
    Sum** ring_;
    i64* mirrored_;  // [taps - 1] which columns stand left of the image, then right of it
    T* bottom_;      // [last_rows][width] a copy
    T* spare_;       // [width] a blurred row that is not written as it is
    u8* inside_;     // [height][width] 1 inside any window
};

template <typename T, typename Sum>
static int blur_images(const BlurParams& p, const ImageBatch& batch, i64 first, i64 last) {
    Blur<T, Sum> blur(p);
    if (blur.failed()) return STATUS_NO_MEMORY;
    blur.prepare();
    const i64 pixels = p.height * p.width;
    for (i64 n = first; n < last; ++n)
        blur.image((const T*)batch.source + n * pixels, (T*)batch.target + n * pixels, (u64)batch.samples[n]);
    return STATUS_OK;
}

int blur(const BlurParams& p, const ImageBatch& batch, i64 first, i64 last) {
    if (batch.pixel == PIXEL_UINT8) return blur_images<u8, u16>(p, batch, first, last);
    return blur_images<float, float>(p, batch, first, last);
}

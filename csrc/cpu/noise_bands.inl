// Rows of pixels between two changes of the column terms: a band. Over a band the sum is a small matrix product,
//     out[row][column] = base[column] + sum over k of factor[row][k] * term[k][column],
// with three k for each octave, in order: dy B0, v D0, (v dy) D1. It is done in tiles of a few rows by a few vectors whose sums
// stay in registers, so that each column term is loaded once for all rows of a tile.

enum : i32 { BAND_ROWS = 4, TILE_VECTORS = LANES == 16 ? 4 : 2, TILE = TILE_VECTORS * LANES };

struct Band {
    i32 terms;                 // 3 * octaves
    const float* base;         // [width]
    const float* const* term;  // [terms][width]
    const float* factor;       // of the first row; each row has `terms` of them
    i64 width;
};

inline void store_pixels(float* out, Vec v) { store(out, v); }
inline void store_pixels(u8* out, Vec v) { store_grey(out, fma(v, splat(127.5f), splat(128.0f))); }  // grey_fixed

// Ask for the cache lines of a tile that is written soon: they come while sums are made, and stores need not wait.
template <i32 ROWS, typename Pixel>
inline void fetch_ahead(const Pixel* out, i64 stride) {
    for (i32 r = 0; r < ROWS; ++r, out += stride)
        for (i32 i = 0; i < TILE; i += 64 / (i32)sizeof(Pixel)) __builtin_prefetch(out + i, 1);
}

// `out` is where the tile's first pixel goes: float32, or grey from -1..1 -> 0..255.
template <i32 ROWS, i32 VECTORS, typename Pixel>
inline void sum_tile(const Band& band, i64 column, Pixel* out, i64 stride) {
    const float* const* const term = band.term;
    const i32 terms = band.terms;
    Vec sum[ROWS][VECTORS];
    for (i32 v = 0; v < VECTORS; ++v) {
        const Vec base = load(band.base + column + v * LANES);
        for (i32 r = 0; r < ROWS; ++r) sum[r][v] = base;
    }
    const float* factor = band.factor;
    for (i32 k = 0; k < terms; ++k, ++factor) {
        const float* const from = term[k] + column;
        Vec column_term[VECTORS];
        for (i32 v = 0; v < VECTORS; ++v) column_term[v] = load(from + v * LANES);
        for (i32 r = 0; r < ROWS; ++r) {
            const Vec row_factor = splat(factor[r * terms]);
            for (i32 v = 0; v < VECTORS; ++v) sum[r][v] = fma(row_factor, column_term[v], sum[r][v]);
        }
    }
    for (i32 r = 0; r < ROWS; ++r, out += stride)
        for (i32 v = 0; v < VECTORS; ++v) store_pixels(out + v * LANES, sum[r][v]);
}

template <i32 ROWS, typename Pixel>
void sum_rows(const Band& band, Pixel* out, i64 stride) {
    const i64 width = band.width;
    i64 column = 0;
    for (; column + TILE <= width; column += TILE) {
        fetch_ahead<ROWS>(out + BAND_ROWS * stride + column, stride);
        sum_tile<ROWS, TILE_VECTORS>(band, column, out + column, stride);
    }
    for (; column + LANES <= width; column += LANES) sum_tile<ROWS, 1>(band, column, out + column, stride);
    if (column == width) return;
    // The last columns do not fill a vector: by way of a buffer, so that nothing is written beyond the row.
    Pixel rest[ROWS * LANES];
    sum_tile<ROWS, 1>(band, column, rest, LANES);
    for (i32 r = 0; r < ROWS; ++r)
        for (i64 i = column; i < width; ++i) out[r * stride + i] = rest[r * LANES + i - column];
}

template <typename Pixel>
void sum_band(const Band& band, i32 rows, Pixel* out, i64 stride) {
    switch (rows) {
        case 1: sum_rows<1>(band, out, stride); break;
        case 2: sum_rows<2>(band, out, stride); break;
        case 3: sum_rows<3>(band, out, stride); break;
        default: sum_rows<4>(band, out, stride); break;
    }
}

// The smallest and largest values seen, lane by lane.
struct Extremes {
    Vec low, high;

    void begin(float value) { low = high = splat(value); }

    void include(const float* row, i64 width) {
        Vec lows = low, highs = high;
        i64 i = 0;
        for (; i + LANES <= width; i += LANES) {
            lows = lesser(load(row + i), lows);
            highs = greater(load(row + i), highs);
        }
        for (; i < width; ++i) {
            lows = lesser(splat(row[i]), lows);
            highs = greater(splat(row[i]), highs);
        }
        low = lows;
        high = highs;
    }

    void end(float* lowest, float* highest) const {
        float lows[LANES], highs[LANES];
        store(lows, low);
        store(highs, high);
        *lowest = lows[0];
        *highest = highs[0];
        for (i32 i = 1; i < LANES; ++i) {
            *lowest = lows[i] < *lowest ? lows[i] : *lowest;
            *highest = highs[i] > *highest ? highs[i] : *highest;
        }
    }
};

// Packing masks into bits.

// A flag in the lowest bit of each byte, gathered into 8 bits; the first byte in memory is the lowest, as on every CPU
// that this builds for.
static inline u64 gather_flags(u64 flags) { return flags * 0x0102040810204080ULL >> 56; }

// Bit i is set where byte i of eight is not 0.
static inline u64 nonzero_bytes(u64 eight) {
    const u64 low7 = 0x7F7F7F7F7F7F7F7FULL;
    return gather_flags(((((eight & low7) + low7) | eight) & ~low7) >> 7);
}

// Bit i is set where byte i of eight is 128 or more.
static inline u64 high_bytes(u64 eight) { return gather_flags(eight >> 7 & 0x0101010101010101ULL); }

// Bit i is set where bytes[i] is not 0 (HIGH: is 128 or more), for `count` <= 64 bytes.
template <bool HIGH>
static inline u64 pack_bytes(const u8* bytes, i32 count) {
    u64 word = 0;
    i32 x = 0;
    for (; x + 8 <= count; x += 8) {
        u64 eight;
        __builtin_memcpy(&eight, bytes + x, 8);
        word |= (HIGH ? high_bytes(eight) : nonzero_bytes(eight)) << x;
    }
    for (; x < count; ++x) word |= (u64)(bytes[x] >= (HIGH ? 128 : 1)) << x;
    return word;
}

// The same for 64 bytes. Compilers do not find these instructions by themselves; measured against the loop above, they
// take two thirds (SSE2) and a good half (AVX-512) of the time for whole masks, which is that of reading.
template <bool HIGH>
static inline u64 pack_64(const u8* bytes) {
#if defined(__AVX512BW__)
    const __m512i values = _mm512_loadu_si512(bytes);
    return HIGH ? _mm512_movepi8_mask(values) : _mm512_test_epi8_mask(values, values);
#elif defined(__SSE2__)
    u64 word = 0;
    for (i32 i = 0; i < 4; ++i) {
        const __m128i values = _mm_loadu_si128((const __m128i*)(bytes + 16 * i));
        const __m128i flags = HIGH ? values : _mm_cmpeq_epi8(values, _mm_setzero_si128());
        word |= (u64)(u32)_mm_movemask_epi8(flags) << 16 * i;
    }
    return HIGH ? word : ~word;
#else
    return pack_bytes<HIGH>(bytes, 64);
#endif
}

int pack_masks(const u8* masks, i64 height, i64 width, u64* bits, u32* before, i64 first, i64 last) {
    const i32 words = words_for(width), whole = (i32)(width / 64);
    for (i64 n = first; n < last; ++n) {
        u32 set = 0;
        for (i64 y = 0; y < height; ++y) {
            const u8* row = masks + (n * height + y) * width;
            u64* to = bits + (n * height + y) * words;
            before[n * (height + 1) + y] = set;
            for (i32 w = 0; w < whole; ++w) to[w] = pack_64<false>(row + 64 * (i64)w);
            if (whole < words) to[whole] = pack_bytes<false>(row + 64 * (i64)whole, (i32)(width - 64 * (i64)whole));
            for (i32 w = 0; w < words; ++w) set += (u32)bit_count(to[w]);
        }
        before[n * (height + 1) + height] = set;
    }
    return STATUS_OK;
}

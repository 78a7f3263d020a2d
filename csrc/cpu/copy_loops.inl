// Copying a slice of a batch that is larger than the caches.

// Stores that go past the caches need not read what they overwrite: measured on 64 slices, copying and pasting take two
// thirds (float32) to four fifths (uint8) of the time that they take with memcpy.
static void copy_past_caches(char* to, const char* from, i64 bytes) {
#if defined(__AVX512F__) || defined(__AVX2__)
    const i64 gap = (i64)(-(u64)to & 63), head = gap < bytes ? gap : bytes;
    const i64 lines = (bytes - head) / 64;
    __builtin_memcpy(to, from, (unsigned long)head);
    to += head;
    from += head;
    for (i64 i = 0; i < lines; ++i) {
#if defined(__AVX512F__)
        _mm512_stream_si512((__m512i*)(to + 64 * i), _mm512_loadu_si512(from + 64 * i));
#else
        const __m256i low = _mm256_loadu_si256((const __m256i*)(from + 64 * i));
        const __m256i high = _mm256_loadu_si256((const __m256i*)(from + 64 * i + 32));
        _mm256_stream_si256((__m256i*)(to + 64 * i), low);
        _mm256_stream_si256((__m256i*)(to + 64 * i + 32), high);
#endif
    }
    _mm_sfence();
    to += 64 * lines;
    from += 64 * lines;
    bytes -= head + 64 * lines;
#endif
    __builtin_memcpy(to, from, (unsigned long)bytes);
}

// uint8 grey to float32 in [0, 1], for the pixels [first, last).

int scale_grey(const u8* grey, float* out, i64 first, i64 last) {
    const u8* __restrict from = grey;
    float* __restrict to = out;
    for (i64 i = first; i < last; ++i) to[i] = grey_to_float(from[i]);
    return STATUS_OK;
}

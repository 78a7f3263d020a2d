// Candidate patches of the lesion bank: where they lie and how bright they are.

int candidates(u64 seed, const u8* images, const i64* image_ids, i64 rows, i64 columns, i32 low, i32 high,
               u32 first_round, u32 rounds, i32* out, i64 first, i64 last) {
    for (i64 n = first; n < last; ++n) {
        const u8* image = images + n * rows * columns;
        for (u32 r = 0; r < rounds; ++r) {
            const Box box =
                candidate_box(seed, (u64)image_ids[n], first_round + r, low, high, (i32)rows, (i32)columns);
            i32 sum = 0;
            for (i32 y = 0; y < box.height; ++y) {
                const u8* line = image + (box.top + y) * columns + box.left;
                for (i32 x = 0; x < box.width; ++x) sum += line[x];
            }
            i32* row = out + (n * (i64)rounds + r) * 5;
            row[0] = sum;
            row[1] = box.top;
            row[2] = box.left;
            row[3] = box.height;
            row[4] = box.width;
        }
    }
    return STATUS_OK;
}

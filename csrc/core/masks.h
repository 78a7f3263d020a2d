// Masks as bits, with a count of the set pixels before each row: the k-th set pixel, or whether a box is all set, for the
// price of a few words instead of a pass over the mask.
#ifndef PLR_CORE_MASKS_H
#define PLR_CORE_MASKS_H

#include "platform.h"

namespace plr {

// Bit x % 64 of word x / 64 of a row stands for pixel x; bits beyond the width are 0.
struct PackedMask {
    const u64* bits;    // [rows][words]
    const u32* before;  // [rows + 1] set pixels in all earlier rows; the last entry counts them all
    i32 rows, words;
};

PLR_HD i32 words_for(i64 width) { return (i32)((width + 63) / 64); }

PLR_HD i32 bit_count(u64 word) {
#if defined(__CUDA_ARCH__)
    return __popcll(word);
#else
    return __builtin_popcountll(word);
#endif
}

PLR_HD i32 lowest_bit(u64 word) {  // of a word that is not 0
#if defined(__CUDA_ARCH__)
    return __ffsll((i64)word) - 1;
#else
    return __builtin_ctzll(word);
#endif
}

PLR_HD u64 low_bits(i32 count) { return count >= 64 ? ~(u64)0 : ((u64)1 << count) - 1; }

// All ones where k >= count, else 0: for choices that no branch prediction would get right.
PLR_HD i32 all_if_passed(i32 k, i32 count) { return (count - 1 - k) >> 31; }

// Position of the set bit that has k set bits below it.
PLR_HD i32 kth_bit(u64 word, i32 k) {
    i32 at = 0;
    for (i32 half = 32; half > 0; half >>= 1) {
        const i32 count = bit_count(word & low_bits(half));
        const i32 passed = all_if_passed(k, count);
        k -= count & passed;
        at += half & passed;
        word >>= half & passed;
    }
    return at;
}

// Column of the k-th set pixel of a row that has more than k of them.
PLR_HD i32 kth_in_row(const u64* row, i32 words, i32 k) {
    i32 w = 0, before = 0, total = 0;
    for (i32 i = 0; i + 1 < words; ++i) {
        total += bit_count(row[i]);
        const i32 passed = all_if_passed(k, total);
        w -= passed;
        before = (total & passed) | (before & ~passed);
    }
    return w * 64 + kth_bit(row[w], k - before);
}

// The last of `count` ascending numbers, beginning with 0, that is at most k.
PLR_HD i32 last_up_to(const u32* numbers, i32 count, u32 k) {
    i32 low = 0;
    while (count > 1) {
        const i32 half = count >> 1;
        low = numbers[low + half] <= k ? low + half : low;
        count -= half;
    }
    return low;
}

// The k-th set pixel in row-major order.
PLR_HD void kth_set_pixel(const PackedMask& mask, u32 k, i32* row, i32* column) {
    *row = last_up_to(mask.before, mask.rows, k);
    *column = kth_in_row(mask.bits + (i64)*row * mask.words, mask.words, (i32)(k - mask.before[*row]));
}

// Bits of the 64 pixels from `column` on, 0 beyond the end of the row.
PLR_HD u64 mask_window(const PackedMask& mask, i32 row, i32 column) {
    const u64* words = mask.bits + (i64)row * mask.words;
    const i32 w = column >> 6, shift = column & 63;
    u64 bits = words[w] >> shift;
    if (shift != 0 && w + 1 < mask.words) bits |= words[w + 1] << (64 - shift);
    return bits;
}

// Whether every pixel of a box is set; a box that leaves the mask is not.
PLR_HD bool box_is_set(const PackedMask& mask, i32 top, i32 left, i32 height, i32 width) {
    if (top < 0 || left < 0 || top + height > mask.rows || left + width > mask.words * 64) return false;
    for (i32 y = top; y < top + height; ++y)
        for (i32 x = 0; x < width; x += 64)
            if (~mask_window(mask, y, left + x) & low_bits(width - x)) return false;
    return true;
}

// Bit x of `row` is set where the box of that size with its top left corner at (top, x) is all set: the rows of the box
// put together, then each bit with its right neighbours, twice as many in every step.
PLR_HD void boxes_in_row(const PackedMask& mask, i32 top, i32 height, i32 width, u64* row) {
    const i32 words = mask.words;
    const u64* from = mask.bits + (i64)top * words;
    for (i32 w = 0; w < words; ++w) row[w] = from[w];
    for (i32 y = 1; y < height; ++y)
        for (i32 w = 0; w < words; ++w) row[w] &= from[(i64)y * words + w];
    for (i32 covered = 1; covered < width;) {
        const i32 step = min_i32(covered, width - covered);
        const i32 skip = step >> 6, shift = step & 63;
        for (i32 w = 0; w < words; ++w) {
            const u64 here = w + skip < words ? row[w + skip] : 0;
            const u64 next = w + skip + 1 < words ? row[w + skip + 1] : 0;
            row[w] &= shift == 0 ? here : here >> shift | next << (64 - shift);
        }
        covered += step;
    }
}

// How many boxes of that size are all set. `before` [rows + 1] receives the number in all earlier rows of their top left
// corners; `row` [words] is scratch.
PLR_HD u32 count_boxes(const PackedMask& mask, i32 height, i32 width, u32* before, u64* row) {
    u32 count = 0;
    for (i32 top = 0; top <= mask.rows; ++top) {
        before[top] = count;
        if (top + height > mask.rows) continue;
        boxes_in_row(mask, top, height, width, row);
        for (i32 w = 0; w < mask.words; ++w) count += (u32)bit_count(row[w]);
    }
    return count;
}

// Top left corner of the k-th of these boxes in row-major order.
PLR_HD void kth_box(const PackedMask& mask, i32 height, i32 width, const u32* before, u64* row, u32 k, i32* top,
                    i32* left) {
    *top = last_up_to(before, mask.rows, k);
    boxes_in_row(mask, *top, height, width, row);
    *left = kth_in_row(row, mask.words, (i32)(k - before[*top]));
}

}  // namespace plr

#endif

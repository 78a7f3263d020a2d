#include <vector>

#include "../cpu/dispatch.h"
#include "check.h"

using namespace plr;

namespace {

struct Packed {
    std::vector<u64> bits;
    std::vector<u32> before;
    i32 rows, words;

    Packed(const std::vector<u8>& masks, i64 count, i64 height, i64 width)
        : bits(count * height * words_for(width)), before(count * (height + 1)), rows((i32)height), words(words_for(width)) {
        CHECK(kernels().pack_masks(masks.data(), height, width, bits.data(), before.data(), 0, count) == STATUS_OK);
    }
    PackedMask first() const { return {bits.data(), before.data(), rows, words}; }
};

void kth_pixel_finds_each_one() {
    for (const i32 columns : {1, 11, 64, 130}) {
        const i32 rows = 7;
        std::vector<u8> pixels(rows * columns, 0);
        std::vector<int> set;
        for (int i = 0; i < rows * columns; ++i)
            if ((i * 37) % 5 < 2 && i / columns != 3) {  // row 3 stays empty
                pixels[i] = i % 2 ? 255 : 2;
                set.push_back(i);
            }
        const Packed packed(pixels, 1, rows, columns);
        const PackedMask mask = packed.first();
        CHECK(mask.before[rows] == set.size());
        for (u32 k = 0; k < set.size(); ++k) {
            i32 row, column;
            kth_set_pixel(mask, k, &row, &column);
            CHECK(row * columns + column == set[k]);
        }
        for (i32 y = 0; y < rows; ++y)
            for (i32 x = 0; x < columns; ++x) {
                const u64 window = mask_window(mask, y, x);
                for (i32 i = 0; i < 64; ++i)
                    CHECK((window >> i & 1) == (x + i < columns && pixels[y * columns + x + i] != 0));
            }
    }
}

// Boxes that are all set, counted and found through bits, against a look at every pixel of every box.
void boxes_are_found() {
    const i32 rows = 20, columns = 150;
    std::vector<u8> pixels(rows * columns, 1);
    for (int i = 0; i < 40; ++i) pixels[philox(1, 0, 0, (u32)i).w[0] % (u32)(rows * columns)] = 0;
    const Packed packed(pixels, 1, rows, columns);
    const PackedMask mask = packed.first();
    std::vector<u32> before(rows + 1);
    std::vector<u64> row(mask.words);
    for (const i32 height : {1, 2, 5, 21})
        for (const i32 width : {1, 3, 16, 64, 67, 151}) {
            u32 found = 0;
            const u32 count = count_boxes(mask, height, width, before.data(), row.data());
            for (i32 top = -1; top <= rows; ++top)
                for (i32 left = -1; left <= columns; ++left) {
                    bool all = top >= 0 && left >= 0 && top + height <= rows && left + width <= columns;
                    for (i32 y = top; all && y < top + height; ++y)
                        for (i32 x = left; x < left + width; ++x) all = all && pixels[y * columns + x] != 0;
                    CHECK(box_is_set(mask, top, left, height, width) == all);
                    if (!all) continue;
                    i32 at_top, at_left;
                    kth_box(mask, height, width, before.data(), row.data(), found++, &at_top, &at_left);
                    CHECK(at_top == top && at_left == left);
                }
            CHECK(found == count);
        }
}

void every_grey_is_divided_exactly() {
    for (int grey = 0; grey < 256; ++grey) CHECK(grey_to_float((u8)grey) == (float)grey / 255.0f);
}

void covers_reach_from_nothing_to_all() {
    CHECK(smooth_step(0) == 0 && smooth_step(128) == 128 && smooth_step(256) == 256);
    CHECK(covered(200, 0) == 0 && covered(200, 255) == 200 && covered(256, 255) == 256);
    CHECK(from_middle(0, 1) == 0 && from_middle(4, 9) == 0 && from_middle(0, 9) == from_middle(8, 9));
    CHECK(patch_cover(SHAPE_ELLIPSE, edge_reach(SHAPE_ELLIPSE, 0, 9, 9), 0, 0, 7, 0, 9) == 255);
    CHECK(patch_cover(SHAPE_ELLIPSE, 65536, 65536, 0, 7, 0, 9) == 0);
    CHECK(patch_cover(SHAPE_CLOUD, 65536, 0, 0, 0, 0, 9) == 0 && patch_cover(SHAPE_CLOUD, 65536, 0, 0, 9, 0, 9) == 255);
}

void boxes_stay_inside() {
    for (u32 i = 0; i < 2000; ++i) {
        const Box box = candidate_box(1, 2, i, 5, 25, 40, 25);
        CHECK(box.height >= 5 && box.height <= 25 && box.width >= 5 && box.width <= 25);
        CHECK(box.top >= 0 && box.top + box.height <= 40 && box.left >= 0 && box.left + box.width <= 25);
    }
}

void blends() {
    CHECK(blend_u8(BLEND_REPLACE, 10, 200, 3) == 200);
    CHECK(blend_u8(BLEND_MAX, 210, 200, 3) == 210);
    CHECK(blend_u8(BLEND_ALPHA, 10, 200, 0) == 10);
    CHECK(blend_u8(BLEND_ALPHA, 10, 200, 256) == 200);
    CHECK(blend_u8(BLEND_ALPHA, 0, 255, 128) == 128);
    CHECK(blend_u8(BLEND_ADD, 100, 100, 256) == 200);
    CHECK(blend_u8(BLEND_ADD, 200, 100, 256) == 255);
    CHECK(blend_float(BLEND_ALPHA, 0.25f, 0.75f, 128) == 0.5f);
    CHECK(blend_float(BLEND_ADD, 0.75f, 0.5f, 256) == 1.0f);
    CHECK(grey_to_float(255) == 1.0f && grey_to_float(0) == 0.0f);
}

void feather_rises_from_the_edge() {
    CHECK(to_edge(0, 9) == 1 && to_edge(4, 9) == 5 && to_edge(8, 9) == 1);
    CHECK(feathered(256, 0, 1) == 256);
    CHECK(feathered(256, 3, 1) == 64);
    CHECK(feathered(256, 3, 2) == 128);
    CHECK(feathered(256, 3, 4) == 256);
}

// Later patches lie over earlier ones, nothing outside the mask changes, an empty mask changes nothing.
void paste_keeps_to_the_mask() {
    const i64 height = 20, width = 24;
    std::vector<u8> pixels(9, 200);
    const i64 offset = 0, samples[2] = {0, 1};
    const i32 side = 3;
    PasteParams p = {};
    p.height = height;
    p.width = width;
    p.pixels = pixels.data();
    p.offsets = &offset;
    p.heights = &side;
    p.widths = &side;
    p.patches = 1;
    p.low_count = p.high_count = 500;
    p.blend = BLEND_REPLACE;
    std::vector<u8> source(2 * height * width, 7), target(source.size(), 0), masks(source.size(), 0);
    for (i64 y = 5; y < 15; ++y)
        for (i64 x = 0; x < 12; ++x) masks[y * width + x] = 1;  // the second mask is empty
    i32 counts[2] = {-1, -1}, skipped[2] = {-1, -1};
    std::vector<u8> lesions(source.size(), 9);
    PasteRecord record = {};
    record.counts = counts;
    record.skipped = skipped;
    record.lesions = lesions.data();
    const ImageBatch batch = {source.data(), target.data(), PIXEL_UINT8, samples};
    const Packed packed(masks, 2, height, width);
    for (const bool stream : {false, true}) {
        p.stream = stream;
        CHECK(kernels().paste(p, batch, {packed.bits.data(), packed.before.data()}, record, 0, 2) == STATUS_OK);
        CHECK(counts[0] == 500 && counts[1] == 0 && skipped[0] == 0 && skipped[1] == 0);
        for (size_t i = 0; i < target.size(); ++i) {
            CHECK(target[i] == (masks[i] ? 200 : 7));
            CHECK(lesions[i] == masks[i]);
        }
    }
}

}  // namespace

int main() {
    kth_pixel_finds_each_one();
    boxes_are_found();
    every_grey_is_divided_exactly();
    covers_reach_from_nothing_to_all();
    boxes_stay_inside();
    blends();
    feather_rises_from_the_edge();
    paste_keeps_to_the_mask();
    return plr_test::report();
}

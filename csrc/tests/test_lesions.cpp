#include <vector>

#include "../cpu/dispatch.h"
#include "check.h"

using namespace plr;

namespace {

void kth_pixel_finds_each_one() {
    const i32 rows = 7, columns = 11;
    std::vector<u8> mask(rows * columns, 0);
    std::vector<u32> before(rows);
    std::vector<int> set;
    for (int i = 0; i < rows * columns; ++i)
        if ((i * 37) % 5 < 2 && i / columns != 3) {  // row 3 stays empty
            mask[i] = 255;
            set.push_back(i);
        }
    u32 count = 0;
    for (i32 y = 0; y < rows; ++y) {
        before[y] = count;
        for (i32 x = 0; x < columns; ++x) count += mask[y * columns + x] != 0;
    }
    for (u32 k = 0; k < set.size(); ++k) {
        i32 row, column;
        kth_set_pixel(mask.data(), before.data(), rows, columns, k, &row, &column);
        CHECK(row * columns + column == set[k]);
    }
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
    CHECK(feathered(256, 0, 0, 0, 5, 5) == 256);
    CHECK(feathered(256, 3, 0, 2, 9, 9) == 64);
    CHECK(feathered(256, 3, 1, 4, 9, 9) == 128);
    CHECK(feathered(256, 3, 4, 4, 9, 9) == 256);
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
    i32 counts[2] = {-1, -1};
    const ImageBatch batch = {source.data(), target.data(), PIXEL_UINT8, samples};
    CHECK(kernels().paste(p, batch, masks.data(), counts, 0, 2) == STATUS_OK);
    CHECK(counts[0] == 500 && counts[1] == 0);
    for (size_t i = 0; i < target.size(); ++i) CHECK(target[i] == (masks[i] ? 200 : 7));
}

}  // namespace

int main() {
    kth_pixel_finds_each_one();
    boxes_stay_inside();
    blends();
    feather_rises_from_the_edge();
    paste_keeps_to_the_mask();
    return plr_test::report();
}

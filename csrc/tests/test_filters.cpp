#include <algorithm>
#include <cmath>
#include <vector>

#include "../cpu/dispatch.h"
#include "check.h"

using namespace plr;

namespace {

void reflection() {
    const i64 expected[] = {0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2};  // indices -6..4 of a row of 4
    for (i64 i = -6; i <= 4; ++i) CHECK(reflect_101(i, 4) == expected[i + 6]);
    CHECK(reflect_101(-1, 4) == 1 && reflect_101(-3, 4) == 3 && reflect_101(-4, 4) == 2);
    CHECK(reflect_101(4, 4) == 2 && reflect_101(6, 4) == 0 && reflect_101(7, 4) == 1);
    CHECK(reflect_101(-5, 1) == 0 && reflect_101(9, 1) == 0);
    for (i64 i = -40; i < 40; ++i) CHECK(reflect_101(i, 2) == (i & 1));
}

void blocks_cover_the_side() {
    for (i64 n : {10, 43, 512})
        for (i64 blocks : {1, 3, 10}) {
            CHECK(block_start(0, n, blocks) == 0 && block_start(blocks, n, blocks) == n);
            for (i64 b = 0; b < blocks; ++b) {
                const i64 size = block_start(b + 1, n, blocks) - block_start(b, n, blocks);
                CHECK(size == n / blocks || size == n / blocks + 1);
            }
        }
}

// A blur by the definition, in double.
double blurred(const std::vector<float>& image, i64 height, i64 width, const std::vector<float>& weights, i64 y, i64 x) {
    const i64 half = (i64)weights.size() / 2;
    double sum = 0;
    for (i64 a = -half; a <= half; ++a)
        for (i64 b = -half; b <= half; ++b)
            sum += (double)weights[a + half] * weights[b + half] *
                   image[reflect_101(y + a, height) * width + reflect_101(x + b, width)];
    return sum;
}

void blur_equals_the_definition_on_every_tier() {
    const i64 height = 23, width = 37, sample = 0;
    const std::vector<float> weights = {0.0625f, 0.25f, 0.375f, 0.25f, 0.0625f};
    const std::vector<i32> weights_q8 = {16, 64, 96, 64, 16};
    std::vector<float> image(height * width), out(image.size());
    std::vector<u8> grey(image.size()), grey_out(image.size());
    for (size_t i = 0; i < image.size(); ++i) {
        grey[i] = (u8)((i * 2654435761u) >> 13);
        image[i] = grey[i] / 255.0f;
    }
    const BlurParams p = {0, height, width, 5, weights.data(), weights_q8.data(), {}};
    for (const Tier& tier : tiers()) {
        if (!tier.supported) continue;
        CHECK(tier.kernels->blur(p, {image.data(), out.data(), PIXEL_FLOAT32, &sample}, 0, 1) == STATUS_OK);
        CHECK(tier.kernels->blur(p, {grey.data(), grey_out.data(), PIXEL_UINT8, &sample}, 0, 1) == STATUS_OK);
        for (i64 y = 0; y < height; ++y)
            for (i64 x = 0; x < width; ++x) {
                const double expected = blurred(image, height, width, weights, y, x);
                CHECK(std::fabs(out[y * width + x] - expected) < 1e-6);
                CHECK(std::fabs(grey_out[y * width + x] - 255 * expected) < 0.5001);
            }
    }
}

// Kernels longer than the image is high or wide, and windows, in place: against the whole image blurred elsewhere.
void blur_in_place_and_in_windows() {
    for (i32 taps : {1, 3, 7, 9, 13}) {
        std::vector<float> weights(taps, 1.0f / (float)taps);
        std::vector<i32> weights_q8(taps, 256 / taps);
        weights_q8[taps / 2] += 256 - taps * (256 / taps);
        for (i64 height : {1, 2, 5, 40})
            for (i64 width : {1, 3, 70}) {
                const i64 sample = 9;
                std::vector<u8> image(height * width), whole(image.size());
                for (size_t i = 0; i < image.size(); ++i) image[i] = (u8)((i * 2654435761u) >> 13);
                BlurParams p = {3, height, width, taps, weights.data(), weights_q8.data(), {}};
                Windows some = {4, 1, (i32)(height + 1) / 2, 1, (i32)(width + 1) / 2};
                for (const Tier& tier : tiers()) {
                    if (!tier.supported) continue;
                    p.windows = {};
                    const auto blur = tier.kernels->blur;
                    CHECK(blur(p, {image.data(), whole.data(), PIXEL_UINT8, &sample}, 0, 1) == STATUS_OK);
                    std::vector<u8> same = image, windowed = image, expected = image;
                    CHECK(blur(p, {same.data(), same.data(), PIXEL_UINT8, &sample}, 0, 1) == STATUS_OK);
                    CHECK(same == whole);
                    p.windows = some;
                    CHECK(blur(p, {windowed.data(), windowed.data(), PIXEL_UINT8, &sample}, 0, 1) == STATUS_OK);
                    for (i32 w = 0; w < some.count; ++w) {
                        const Box box =
                            window_box(some, p.seed, sample, STREAM_BLUR_WINDOW, (u32)w, (i32)height, (i32)width);
                        for (i64 y = box.top; y < box.top + box.height; ++y)
                            for (i64 x = box.left; x < box.left + box.width; ++x)
                                expected[y * width + x] = whole[y * width + x];
                    }
                    CHECK(windowed == expected);
                }
            }
    }
}

template <typename T>
void shuffle_by_the_definition(const std::vector<T>& image, std::vector<T>& out, const Box& box, i64 width, u64 seed,
                               u64 sample, u32 stream) {
    std::vector<T> held;
    for (i64 y = box.top; y < box.top + box.height; ++y)
        for (i64 x = box.left; x < box.left + box.width; ++x) held.push_back(image[y * width + x]);
    fisher_yates(seed, sample, stream, held.data(), (u32)held.size());
    for (size_t i = 0; i < held.size(); ++i)
        out[(box.top + (i64)i / box.width) * width + box.left + (i64)i % box.width] = held[i];
}

// Words in vectors, and windows left out because later ones hide them, must not show.
template <typename T>
void shuffle_equals_the_definition(PixelType pixel) {
    const i64 sample = -7;
    for (i64 height : {1, 30, 130})
        for (i64 width : {1, 63, 64, 150}) {
            std::vector<T> image(height * width);
            for (size_t i = 0; i < image.size(); ++i) image[i] = (T)(i % 251);
            for (i32 count : {0, 1, 25, 400}) {
                ShuffleParams p = {5, height, width, (i32)(height + 2) / 3, 1, {}};
                p.windows = {count, 1, (i32)(height + 1) / 2, 1, (i32)(width + 2) / 3};
                std::vector<T> expected = image;
                for (i32 w = 0; w < count; ++w)
                    shuffle_by_the_definition(image, expected,
                                              window_box(p.windows, p.seed, sample, STREAM_SHUFFLE_WINDOW, (u32)w,
                                                         (i32)height, (i32)width),
                                              width, p.seed, sample, substream(STREAM_SHUFFLE_INSIDE, (u32)w));
                for (i32 b = 0; count == 0 && b < p.grid_rows; ++b) {
                    const i32 top = (i32)block_start(b, height, p.grid_rows);
                    const Box box = {top, 0, (i32)block_start(b + 1, height, p.grid_rows) - top, (i32)width};
                    shuffle_by_the_definition(image, expected, box, width, p.seed, sample,
                                              substream(STREAM_SHUFFLE_BLOCK, (u32)b));
                }
                for (const Tier& tier : tiers()) {
                    if (!tier.supported) continue;
                    std::vector<T> out(image.size()), same = image;
                    CHECK(tier.kernels->shuffle(p, {image.data(), out.data(), pixel, &sample}, 0, 1) == STATUS_OK);
                    CHECK(tier.kernels->shuffle(p, {same.data(), same.data(), pixel, &sample}, 0, 1) == STATUS_OK);
                    CHECK(out == expected && same == expected);
                }
            }
        }
}

void shuffle_permutes_blocks() {
    const i64 height = 21, width = 34, sample = 5;
    std::vector<u8> image(height * width), out(image.size());
    for (size_t i = 0; i < image.size(); ++i) image[i] = (u8)(i * 7);
    const ShuffleParams p = {1, height, width, 4, 3, {}};
    CHECK(kernels().shuffle(p, {image.data(), out.data(), PIXEL_UINT8, &sample}, 0, 1) == STATUS_OK);
    CHECK(image != out);
    for (i64 by = 0; by < 4; ++by)
        for (i64 bx = 0; bx < 3; ++bx) {
            std::vector<u8> before, after;
            for (i64 y = block_start(by, height, 4); y < block_start(by + 1, height, 4); ++y)
                for (i64 x = block_start(bx, width, 3); x < block_start(bx + 1, width, 3); ++x) {
                    before.push_back(image[y * width + x]);
                    after.push_back(out[y * width + x]);
                }
            std::sort(before.begin(), before.end());
            std::sort(after.begin(), after.end());
            CHECK(before == after);
        }
}

}  // namespace

int main() {
    reflection();
    blocks_cover_the_side();
    blur_equals_the_definition_on_every_tier();
    blur_in_place_and_in_windows();
    shuffle_permutes_blocks();
    shuffle_equals_the_definition<u8>(PIXEL_UINT8);
    shuffle_equals_the_definition<float>(PIXEL_FLOAT32);
    return plr_test::report();
}

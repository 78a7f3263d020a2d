#include <cstring>
#include <vector>

#include "../cpu/dispatch.h"
#include "../cpu/noise_tables.h"
#include "check.h"

using namespace plr;

namespace {

// Some noise images, whole, and the table that fresh patches are made from.
struct Supply {
    i32 images, size;
    NoiseTables tables;
    NoiseParams params;
    std::vector<float> low, scale;
    std::vector<u8> permutation, offsets;
    std::vector<float> values;  // [images][size][size]
    std::vector<u8> grey;       // likewise, stretched

    static NoiseSettings sized(NoiseSettings settings, i32 size) {
        settings.size = {1, size, size};
        return settings;
    }

    Supply(const Kernels& k, const NoiseSettings& settings, i32 count, i32 side)
        : images(count), size(side), tables(sized(settings, side)), params(tables.params()), low(count), scale(count),
          permutation(count * 2 * LATTICE_PERIOD), offsets(count * settings.octaves * 2), values(count * side * side),
          grey(values.size()) {
        std::vector<i64> samples(count);
        for (i32 i = 0; i < count; ++i) samples[i] = i;
        params.seed = 3;
        params.stride_row = side;
        params.stride_sample = (i64)side * side;
        params.format = FORMAT_FLOAT32;
        CHECK(k.noise(params, values.data(), samples.data(), 0, count) == STATUS_OK);
        params.format = FORMAT_GREY_MINMAX;
        CHECK(k.noise(params, grey.data(), samples.data(), 0, count) == STATUS_OK);
        // In two parts, as two threads would.
        for (i32 part : {0, 1})
            CHECK(k.fresh_table(params, low.data(), scale.data(), permutation.data(), offsets.data(),
                                part * (count / 2), part == 0 ? count / 2 : count) == STATUS_OK);
    }

    FreshTable table() const { return {low.data(), scale.data(), permutation.data(), offsets.data()}; }
};

const NoiseSettings settings[] = {{{1, 4, 4}, 4, 0.5, 2.0, false},
                                  {{1, 3.7, 3.7}, 6, 0.8, 2.6, false},
                                  {{1, 90, 90}, 2, 0.5, 2.0, false}};  // cells narrower than pixels

void one_pixel_has_the_bits_of_its_image() {
    for (const NoiseSettings& noise : settings)
        for (const Tier& tier : tiers()) {
            if (!tier.supported) continue;
            const Supply s(*tier.kernels, noise, 3, 61);
            for (i32 i = 0; i < s.images * s.size * s.size; ++i) {
                const i32 image = i / (s.size * s.size), row = i / s.size % s.size, column = i % s.size;
                const float value = noise_at(s.params, s.permutation.data() + image * 2 * LATTICE_PERIOD,
                                             s.offsets.data() + image * noise.octaves * 2, row, column);
                CHECK(std::memcmp(&value, &s.values[i], sizeof value) == 0);
                CHECK(grey_minmax(value, s.low[image], s.scale[image]) == s.grey[i]);
            }
        }
}

// The first candidate that the rules accept, looked for in the whole images; false if there is none.
bool find(const Supply& s, const FreshParams& f, u64 sample, u32 number, std::vector<u8>* patch, Box* box) {
    FreshWords words;
    for (u32 round = 0; round < FRESH_ROUNDS; ++round) {
        if (round % FRESH_AHEAD == 0) fresh_words(f, sample, number, round, &words);
        const FreshCandidate candidate = fresh_candidate(f, words, (i32)(round % FRESH_AHEAD), s.size);
        *box = candidate.box;
        const u8* const image = s.grey.data() + candidate.image * s.size * s.size;
        if (image[(box->top + box->height / 2) * s.size + box->left + box->width / 2] <= f.centre) continue;
        patch->clear();
        i32 sum = 0;
        for (i32 y = 0; y < box->height; ++y)
            for (i32 x = 0; x < box->width; ++x) {
                patch->push_back(image[(box->top + y) * s.size + box->left + x]);
                sum += patch->back();
            }
        if (sum > f.threshold * box->height * box->width) return true;
    }
    return false;
}

// Every size of patch, also those at the right edge of their image and those as large as it.
void patches_are_cut_from_their_images() {
    for (const NoiseSettings& noise : settings)
        for (const Tier& tier : tiers()) {
            if (!tier.supported) continue;
            const Supply s(*tier.kernels, noise, 3, 61);
            const FreshParams f = {7, s.images, 1, 61, 120, 100, 4, 6, s.table()};
            const i64 samples[] = {0, -9, (i64)1 << 40};
            const i64 slots = 3 * f.high_count, slot = f.high_side * f.high_side;
            std::vector<u8> pixels(slots * slot, 77);
            std::vector<i32> heights(slots, -1), widths(slots, -1);
            const FreshPatches out = {samples, pixels.data(), heights.data(), widths.data()};
            for (i64 part : {0, 1})
                CHECK(tier.kernels->fresh(s.params, f, out, part * 5, part == 0 ? 5 : slots) == STATUS_OK);
            for (i64 i = 0; i < slots; ++i) {
                const u64 sample = (u64)samples[i / f.high_count];
                const i32 number = (i32)(i % f.high_count);
                std::vector<u8> patch;
                Box box = {0, 0, 0, 0};
                const bool found = number < fresh_count(f, sample) && find(s, f, sample, (u32)number, &patch, &box);
                CHECK(heights[i] == (found ? box.height : 0) && widths[i] == (found ? box.width : 0));
                if (found) CHECK(std::memcmp(patch.data(), pixels.data() + i * slot, patch.size()) == 0);
                CHECK(pixels[(i + 1) * slot - 1] == 77 || (found && patch.size() == (size_t)slot));
            }
        }
}

void what_is_never_bright_enough_is_left_out() {
    const Supply s(kernels(), settings[0], 2, 40);
    const FreshParams f = {7, s.images, 5, 9, 255, -1, 2, 2, s.table()};
    const i64 sample = 0;
    std::vector<u8> pixels(2 * 81);
    i32 heights[2] = {-1, -1}, widths[2] = {-1, -1};
    const FreshPatches out = {&sample, pixels.data(), heights, widths};
    CHECK(kernels().fresh(s.params, f, out, 0, 2) == STATUS_OK);
    CHECK(heights[0] == 0 && heights[1] == 0 && widths[0] == 0 && widths[1] == 0);
}

// Each image takes its own entries of the bank in turn, and leaves out those of height 0.
void own_patches_are_pasted_in_turn() {
    const i64 height = 8, width = 8, samples[2] = {5, 6};
    std::vector<u8> pixels = {10, 20, 30, 40, 50, 60};
    const i64 offsets[6] = {0, 1, 2, 3, 4, 5};
    const i32 sides[6] = {1, 1, 1, 1, 0, 1};
    PasteParams p = {};
    p.height = height;
    p.width = width;
    p.pixels = pixels.data();
    p.offsets = offsets;
    p.heights = p.widths = sides;
    p.patches = 6;
    p.own = true;
    p.low_count = p.high_count = 3;
    std::vector<u8> image(2 * height * width, 0), masks(image.size(), 0);
    masks[9] = masks[height * width + 9] = 1;  // a single pixel each: the last patch stays
    std::vector<u64> bits(2 * height);
    std::vector<u32> before(2 * (height + 1));
    CHECK(kernels().pack_masks(masks.data(), height, width, bits.data(), before.data(), 0, 2) == STATUS_OK);
    i32 counts[2], skipped[2], taken[6] = {-1, -1, -1, -1, -1, -1};
    const PasteRecord record = {counts, skipped, 3, nullptr, taken, nullptr, nullptr};
    const ImageBatch batch = {image.data(), image.data(), PIXEL_UINT8, samples};
    CHECK(kernels().paste(p, batch, {bits.data(), before.data()}, record, 0, 2) == STATUS_OK);
    CHECK(image[9] == 30 && image[height * width + 9] == 60);
    CHECK(counts[0] == 3 && counts[1] == 2 && skipped[0] == 0 && skipped[1] == 1);
    CHECK(taken[0] == 0 && taken[1] == 1 && taken[2] == 2 && taken[3] == 0 && taken[4] == 2);
}

}  // namespace

int main() {
    one_pixel_has_the_bits_of_its_image();
    patches_are_cut_from_their_images();
    what_is_never_bright_enough_is_left_out();
    own_patches_are_pasted_in_turn();
    return plr_test::report();
}

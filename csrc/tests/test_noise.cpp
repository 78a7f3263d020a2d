#include <cmath>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "../core/gradients.h"
#include "../core/half.h"
#include "../cpu/dispatch.h"
#include "../cpu/noise_tables.h"
#include "check.h"

using namespace plr;

namespace {

std::vector<float> render(const Kernels& kernels, i32 dims, i64 depth, i64 height, i64 width,
                          NoiseSettings settings, u64 seed, i64 sample) {
    settings.dims = dims;
    settings.size = {depth, height, width};
    const NoiseTables tables(settings);
    NoiseParams params = tables.params();
    params.seed = seed;
    params.format = FORMAT_FLOAT32;
    params.stride_row = width;
    params.stride_plane = width * height;
    params.stride_sample = width * height * depth;
    std::vector<float> out(depth * height * width, NAN);
    CHECK(kernels.noise(params, out.data(), &sample, 0, 1) == STATUS_OK);
    return out;
}

// The textbook, in double, in the plane.
double textbook(i64 y, i64 x, i64 height, i64 width, const NoiseSettings& settings, u64 seed, i64 sample) {
    u8 p[LATTICE_PERIOD];
    fill_permutation(seed, (u64)sample, p);
    double total = 0, amplitude = 1, sum = 0, fy = settings.cells[1], fx = settings.cells[2];
    for (i32 o = 0; o < settings.octaves; ++o) {
        const LatticeOffset offset = lattice_offset(seed, (u64)sample, o);
        const double ux = x * fx / width, uy = y * fy / height;
        const i64 i = (i64)std::floor(ux), j = (i64)std::floor(uy);
        const double dx = ux - i, dy = uy - j;
        double value = 0;
        for (int b = 0; b < 2; ++b)
            for (int a = 0; a < 2; ++a) {
                const i32 g = p[(p[(i + a + offset.x) & 255] + j + b + offset.y) & 255];
                const double angle = 2 * M_PI * g / 256;
                const double dot = std::cos(angle) * (dx - a) + std::sin(angle) * (dy - b);
                value += dot * (a ? fade(dx) : 1 - fade(dx)) * (b ? fade(dy) : 1 - fade(dy));
            }
        total += amplitude * value;
        sum += amplitude;
        amplitude *= settings.persistence;
        fx *= settings.lacunarity;
        fy *= settings.lacunarity;
    }
    return total / (std::sqrt(2.0) / 2 * sum);
}

void equals_the_textbook() {
    const NoiseSettings settings = {{1, 3.7, 5.3}, 5, 0.6, 2.0, false};
    const i64 height = 45, width = 67;
    const std::vector<float> out = render(kernels(), 2, 1, height, width, settings, 3, -4);
    for (i64 y = 0; y < height; ++y)
        for (i64 x = 0; x < width; ++x)
            CHECK(std::fabs(out[y * width + x] - textbook(y, x, height, width, settings, 3, -4)) < 1e-5);
}

void tiers_give_the_same_bits() {
    const NoiseSettings all[] = {{{4, 4, 4}, 4, 0.5, 2.0, false},
                                 {{1.5, 90, 33.3}, 8, 0.8, 1.9, false},
                                 {{2, 3, 4}, 3, 0.5, 2.0, true}};
    for (const NoiseSettings& settings : all)
        for (i64 width : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127})
            for (i32 dims : {2, 3}) {
                const i64 depth = dims == 3 ? 5 : 1;
                const std::vector<float> best = render(kernels(), dims, depth, 9, width, settings, 7, width);
                for (const Tier& tier : tiers()) {
                    if (!tier.supported) continue;
                    const std::vector<float> other =
                        render(*tier.kernels, dims, depth, 9, width, settings, 7, width);
                    CHECK(std::memcmp(best.data(), other.data(), best.size() * sizeof(float)) == 0);
                }
            }
}

void gradients_have_unit_length() {
    for (i32 k = 0; k < 256; ++k) {
        double x, y, z;
        gradient_2d(k, &x, &y);
        CHECK(std::fabs(x - std::cos(2 * M_PI * k / 256)) < 1e-15);
        CHECK(std::fabs(y - std::sin(2 * M_PI * k / 256)) < 1e-15);
        const double height = 1.0 - (2 * k + 1) / 256.0;
        gradient_3d(k, std::sqrt(1.0 - height * height), &x, &y, &z);
        CHECK(std::fabs(x * x + y * y + z * z - 1.0) < 1e-14);
    }
}

void half_formats() {
    CHECK(to_float16(0.0f) == 0x0000);
    CHECK(to_float16(-1.0f) == 0xBC00);
    CHECK(to_float16(0.333251953125f) == 0x3555);
    CHECK(to_float16(5.9604645e-08f) == 0x0001);   // the smallest subnormal
    CHECK(to_float16(6.0975552e-05f) == 0x03FF);   // the largest subnormal
    CHECK(to_float16(6.1035156e-05f) == 0x0400);   // the smallest normal
    CHECK(to_float16(1.00048828125f) == 0x3C00);   // a tie goes to even
    CHECK(to_float16(1.00146484375f) == 0x3C02);   // and here upwards
    CHECK(to_bfloat16(1.0f) == 0x3F80);
    CHECK(to_bfloat16(1.00390625f) == 0x3F80);     // a tie goes to even
    CHECK(to_bfloat16(1.01171875f) == 0x3F82);
}

void unknown_tiers_are_refused() {
    bool thrown = false;
    try {
        select_tier("quantum");
    } catch (const std::invalid_argument&) {
        thrown = true;
    }
    CHECK(thrown);
    for (const Tier& tier : tiers())
        if (tier.supported) {
            select_tier(tier.kernels->name);
            CHECK(&kernels() == tier.kernels);
        }
    select_tier("");
}

}  // namespace

int main() {
    equals_the_textbook();
    tiers_give_the_same_bits();
    gradients_have_unit_length();
    half_formats();
    unknown_tiers_are_refused();
    return plr_test::report();
}

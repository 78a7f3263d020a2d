// Digests of the exact bits of some noise. They are the same for every instruction set and every processor: those below
// were computed on x86-64, and a run elsewhere (tools/aarch64_tests.sh) proves that nothing differs there.
#include <cinttypes>
#include <cstring>
#include <vector>

#include "../cpu/dispatch.h"
#include "../cpu/noise_tables.h"
#include "check.h"

using namespace plr;

namespace {

struct Answer {
    const char* what;
    i32 format;
    i64 depth, height, width;  // depth 0: in the plane
    NoiseSettings settings;
    u64 seed;
    u64 digest;
};

const i64 samples[] = {0, -7, 1ll << 40};
constexpr i64 COUNT = 3;

// FNV-1a over the values, low byte first whatever the order of bytes in memory.
template <typename T>
u64 digest(const std::vector<T>& values) {
    u64 hash = 0xcbf29ce484222325ull;
    for (const T value : values)
        for (unsigned shift = 0; shift < 8 * sizeof(T); shift += 8) {
            hash ^= (u8)(value >> shift);
            hash *= 0x100000001b3ull;
        }
    return hash;
}

// T: an unsigned integer as wide as a value of the format.
template <typename T>
u64 digest_of_noise(const Kernels& kernels, const Answer& answer) {
    NoiseSettings settings = answer.settings;
    settings.dims = answer.depth > 0 ? 3 : 2;
    settings.size = {answer.depth > 0 ? answer.depth : 1, answer.height, answer.width};
    const NoiseTables tables(settings);
    NoiseParams params = tables.params();
    params.seed = answer.seed;
    params.format = answer.format;
    params.stride_row = params.width;
    params.stride_plane = params.width * params.height;
    params.stride_sample = params.stride_plane * params.depth;
    std::vector<char> out(COUNT * params.stride_sample * sizeof(T));
    CHECK(kernels.noise(params, out.data(), samples, 0, COUNT) == STATUS_OK);
    std::vector<T> values(COUNT * params.stride_sample);
    std::memcpy(values.data(), out.data(), out.size());
    return digest(values);
}

u64 digest_of_noise(const Kernels& kernels, const Answer& answer) {
    switch (answer.format) {
        case FORMAT_FLOAT32: return digest_of_noise<u32>(kernels, answer);
        case FORMAT_FLOAT16:
        case FORMAT_BFLOAT16: return digest_of_noise<u16>(kernels, answer);
        default: return digest_of_noise<u8>(kernels, answer);
    }
}

const Answer answers[] = {
    {"the defaults", FORMAT_FLOAT32, 0, 61, 83, {{4, 4, 4}, 4, 0.5, 2.0, false}, 42, 0x9d6f2f1badba6f11},
    {"64 cells", FORMAT_FLOAT32, 0, 96, 130, {{64, 64, 64}, 1, 0.5, 2.0, false}, 3, 0xfb04c08d92bf10c5},
    {"odd numbers", FORMAT_FLOAT32, 0, 45, 333, {{1, 3.7, 5.3}, 6, 0.7, 1.9, false}, ~0ull, 0x5bacffda7beaeb3f},
    {"a wide image", FORMAT_FLOAT32, 0, 33, 700, {{1, 3, 170.5}, 3, 0.8, 1.9, false}, 11, 0xe90cca4a1e3f94e0},
    {"narrow cells", FORMAT_FLOAT32, 0, 20, 65, {{1, 300, 700}, 2, 0.5, 2.0, false}, 5, 0xf6900592feda866d},
    {"many octaves, tileable", FORMAT_FLOAT32, 0, 31, 64, {{1, 2, 3}, 9, 0.9, 2.0, true}, 6, 0xa2b27414c5436b4c},
    {"one pixel", FORMAT_FLOAT32, 0, 1, 1, {{4, 4, 4}, 4, 0.5, 2.0, false}, 7, 0x5467b0da1d106495},
    {"space", FORMAT_FLOAT32, 9, 20, 31, {{2, 3.3, 4}, 3, 0.5, 2.0, false}, 1, 0xc8f537c9dc84c283},
    {"space, in grey", FORMAT_GREY_MINMAX, 7, 30, 41, {{2, 3, 4}, 4, 0.5, 2.0, true}, 2, 0xfac541dd1a92cdce},
    {"float16", FORMAT_FLOAT16, 0, 33, 47, {{4, 4, 4}, 4, 0.5, 2.0, false}, 8, 0x31ebf44b59340860},
    {"bfloat16", FORMAT_BFLOAT16, 0, 50, 67, {{4, 4, 4}, 5, 0.5, 2.0, false}, 9, 0x4a5486cdf659e6e7},
    {"grey", FORMAT_GREY_FIXED, 0, 64, 64, {{4, 4, 4}, 4, 0.5, 2.0, false}, 10, 0x62787f4ef1fd25bd},
    {"min-max grey", FORMAT_GREY_MINMAX, 0, 64, 75, {{4, 4, 4}, 4, 0.5, 2.0, false}, 10, 0x1cbdebb8803b67d1},
};

}  // namespace

int main() {
    for (const Tier& tier : tiers()) {
        if (!tier.supported) continue;
        for (const Answer& answer : answers) {
            const u64 found = digest_of_noise(*tier.kernels, answer);
            if (found != answer.digest)
                std::printf("%s, %s: 0x%016" PRIx64 "\n", tier.kernels->name, answer.what, (uint64_t)found);
            CHECK(found == answer.digest);
        }
    }
    return plr_test::report();
}

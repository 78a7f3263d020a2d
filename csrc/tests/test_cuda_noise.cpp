// The CUDA kernels of noise by the host launcher, on memory that ends where their tables end: sanitizers see what they touch.
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "../cpu/dispatch.h"
#include "../cpu/noise_tables.h"
#include "../cuda/noise_kernels.h"
#include "check.h"

using namespace plr;
using namespace plr::cuda;

namespace {

void test_permutation_is_that_of_the_shuffle() {
    for (u64 sample = 0; sample < 200; ++sample) {
        u8 expected[LATTICE_PERIOD];
        fill_permutation(5, sample, expected);
        PermutationMaker::Shared shared;
        for (u32 i = 0; i < LATTICE_PERIOD; ++i) PermutationMaker::draw(i, 5, sample, shared);
        for (u32 i = 0; i < LATTICE_PERIOD; ++i) PermutationMaker::link(i, shared);
        for (u32 i = 0; i < LATTICE_PERIOD; ++i) CHECK(PermutationMaker::element(i, shared) == expected[i]);
    }
}

void test_run_end_is_where_the_line_changes() {
    for (const double frequency : {0.3, 1.0, 2.9, 7.0, 49.99999, 50.0, 63.7, 4096.1, 1e9})
        for (const i64 n : {1, 2, 50, 333}) {
            for (i64 p = 0; p < n; ++p) {
                i64 end = p + 1;
                while (end < n && lattice_position(end, frequency, n).line == lattice_position(p, frequency, n).line) ++end;
                CHECK(cuda::run_end(p, frequency, n) == end);
            }
        }
}

// Tables and output of one call, each in memory of its own.
struct Call {
    NoiseSettings settings;
    i64 batch;
    std::vector<u8> permutation;
    std::vector<u32> offsets, extremes;
    std::vector<Float4> gradients;
    std::vector<float> columns, factors;
    std::vector<u16> column_lines, row_lines;
    std::vector<i32> band_end;
    std::vector<PlaneEntry> planes;
    cuda::NoiseTables tables;

    Call(const NoiseSettings& s, i64 samples) : settings(s), batch(samples) {
        const i64 octaves = s.octaves, width = s.size[2], column_count = (width + 3) / 4 * 4;
        permutation.resize(batch * LATTICE_PERIOD);
        offsets.resize(batch * octaves);
        extremes.resize(2 * batch);
        gradients.resize(octaves * LATTICE_PERIOD * (s.dims == 2 ? 2 : 4) / 4);
        columns.resize(octaves * 3 * column_count);
        column_lines.resize(octaves * column_count);
        const i64 factor_count = (3 * octaves + 3) / 4 * 4;
        factors.resize(s.size[1] * factor_count + 3);  // loaded four at a time, so aligned to that
        row_lines.resize(octaves * s.size[1]);
        band_end.resize(s.size[1]);
        planes.resize(octaves * s.size[0]);
        tables = {permutation.data(), offsets.data(), extremes.data(), (float*)gradients.data(), columns.data(),
                  column_lines.data(), factors.data(), row_lines.data(), band_end.data(), planes.data(),
                  (i32)column_count, (i32)factor_count};
    }

    void set_up(u64 seed, i64 first_id) {
        NoiseSetup::Params p = {};
        p.seed = seed;
        p.samples = {nullptr, first_id, 1};
        p.batch = (i32)batch;
        p.octaves = settings.octaves;
        p.dims = settings.dims;
        p.tileable = settings.tileable;
        p.depth = settings.size[0];
        p.height = settings.size[1];
        p.width = settings.size[2];
        p.tables = tables;
        double amplitude = 1.0, total = 0.0;
        for (i32 o = 0; o < p.octaves; ++o, amplitude *= settings.persistence) total += amplitude;
        const double bound = std::sqrt((double)p.dims) / 2.0 * total * (1.0 + 1.0 / 1048576.0);
        std::array<double, 3> frequency = settings.cells;
        amplitude = 1.0;
        for (i32 o = 0; o < p.octaves; ++o, amplitude *= settings.persistence) {
            p.amplitude[o] = amplitude / bound;
            for (i32 axis = 0; axis < 3; ++axis) {
                p.frequency[o][axis] = frequency[axis];
                frequency[axis] *= settings.lacunarity;
            }
        }
        const i64 entries = LATTICE_PERIOD + p.octaves * tables.column_count + p.height + p.octaves * p.depth;
        run_on_host<NoiseSetup>((u32)(batch + (entries + NoiseSetup::threads - 1) / NoiseSetup::threads), 1, 1, &p);
    }

    template <typename K>
    void rows(i32 columns_of_a_thread, i32 output, bool aligned, void* out, i64 bytes) {
        const i64 depth = settings.size[0], height = settings.size[1], width = settings.size[2];
        NoiseRowsParams p = {};
        p.tables = tables;
        p.out = out;
        p.stride_row = width * bytes;
        p.stride_plane = height * p.stride_row;
        p.stride_sample = depth * p.stride_plane;
        p.depth = depth;
        p.height = height;
        p.width = width;
        p.octaves = settings.octaves;
        p.output = output;
        p.aligned = aligned;
        p.groups = (i32)((width + columns_of_a_thread - 1) / columns_of_a_thread);
        p.group_shift = 3;
        p.strip = 5;
        p.row_blocks = (u32)(p.groups + 7) / 8;
        const i64 rows_of_a_block = (i64)p.strip * (K::threads >> p.group_shift);
        p.strip_blocks = (u32)((height + rows_of_a_block - 1) / rows_of_a_block);
        run_on_host<K>((u32)(p.row_blocks * p.strip_blocks * depth * batch), 1, 1, &p);
    }
};

template <typename K>
void check_rows(i32 columns_of_a_thread, i32 dims, i32 octaves, i64 width) {
    NoiseSettings settings = {{1.7, 5.3, 4.1}, octaves, 0.6, 1.7, false};
    settings.dims = dims;
    settings.size = {dims == 3 ? 3 : 1, 11, width};
    const i64 batch = 2, pixels = settings.size[0] * settings.size[1] * width;
    const i64 ids[] = {40, 41};
    for (const i32 format : {(i32)FORMAT_FLOAT32, (i32)FORMAT_FLOAT16, (i32)FORMAT_GREY_MINMAX}) {
        const i64 bytes = format == FORMAT_FLOAT32 ? 4 : format == FORMAT_FLOAT16 ? 2 : 1;
        NoiseParams params = plr::NoiseTables::get(settings)->params();
        params.seed = 9;
        params.format = format;
        params.stride_row = width;
        params.stride_plane = settings.size[1] * width;
        params.stride_sample = pixels;
        std::vector<Float4> expected((batch * pixels * bytes + 15) / 16), found(expected.size());
        CHECK(kernels().noise(params, expected.data(), ids, 0, batch) == STATUS_OK);
        Call call(settings, batch);
        call.set_up(9, ids[0]);
        const bool aligned = width % 4 == 0;
        if (format == FORMAT_GREY_MINMAX) call.rows<K>(columns_of_a_thread, FIND_EXTREMES, aligned, nullptr, bytes);
        call.rows<K>(columns_of_a_thread, format, aligned, found.data(), bytes);
        CHECK(std::memcmp(expected.data(), found.data(), batch * pixels * bytes) == 0);
    }
}

}  // namespace

int main() {
    test_permutation_is_that_of_the_shuffle();
    test_run_end_is_where_the_line_changes();
    for (const i64 width : {1, 3, 32, 37}) {
        // The Python tests run all kernels; these touch memory in all ways that there are.
        check_rows<NoiseRows<5, false>>(4, 2, 5, width);
        check_rows<NoiseRows<2, true>>(4, 3, 2, width);
        check_rows<NoiseManyRows<true>>(1, 3, 7, width);
    }
    return plr_test::report();
}

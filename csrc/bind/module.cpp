// plr_fast._native: the compiled CPU operations. Checks and hand-over only; the GIL is released around every kernel.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>

#include "../cpu/dispatch.h"
#include "../cpu/noise_tables.h"
#include "../cpu/pool.h"
#include "gil.h"
#include "views.h"

namespace plr {
namespace bind {
namespace {

template <typename Body>
void run(i64 count, int threads, const Body& body) {
    int status;
    {
        ReleasedGil released;
        status = parallel_for(count, threads, body);
    }
    if (status == STATUS_NO_MEMORY) throw std::bad_alloc();
}

i32 noise_format(const std::string& name) {
    static const char* const names[] = {"float32", "float16", "bfloat16", "fixed", "minmax"};
    for (i32 i = 0; i < 5; ++i)
        if (name == names[i]) return i;
    throw py::value_error("format must be float32, float16, bfloat16, fixed or minmax, not '" + name + "'");
}

// A small batch of large samples is cut, so that all threads find work.
i64 noise_pieces(const NoiseParams& params, i64 batch, int threads) {
    enum { LEAST = 1 << 15 };  // pixels of a piece: each makes its permutation and its first lattice rows anew
    if (params.format == FORMAT_GREY_MINMAX || batch >= threads) return 1;
    const i64 lines = params.dims == 2 ? params.height : params.depth;
    const i64 pixels = params.depth * params.height * params.width;
    return std::max<i64>(1, std::min({(4 * (i64)threads + batch - 1) / batch, lines, pixels / LEAST}));
}

void noise(py::array out, const py::array& samples, u64 seed, std::array<double, 3> cells, int octaves,
           double persistence, double lacunarity, bool tileable, const std::string& format, int threads) {
    const i32 kind = noise_format(format);
    const py::ssize_t size = kind == FORMAT_FLOAT32 ? 4 : kind <= FORMAT_BFLOAT16 ? 2 : 1;
    const char stored = kind == FORMAT_FLOAT32 ? 'f' : 'u';
    const bool half = kind == FORMAT_FLOAT16 && out.dtype().kind() == 'f';
    if (out.itemsize() != size || !(out.dtype().kind() == stored || half))
        throw py::type_error("out has dtype " + py::str(out.dtype()).cast<std::string>() +
                             ", which does not fit format " + format);
    if (out.ndim() != 3 && out.ndim() != 4)
        throw py::value_error("out must have shape (B, H, W) or (B, D, H, W), not " + shape_text(out));
    if (octaves < 1 || octaves > MAX_OCTAVES)
        throw py::value_error("octaves must be 1.." + std::to_string(MAX_OCTAVES) + ", not " + std::to_string(octaves));
    const py::ssize_t last = out.ndim() - 1;
    if (out.size() == 0) return;
    if (out.shape(last) > 1 && out.strides(last) != size) throw py::value_error("out must have contiguous rows");
    for (py::ssize_t i = 0; i < last; ++i)
        if (out.strides(i) % size != 0) throw py::value_error("out has strides that are no multiple of its itemsize");
    require_shape(samples, "samples", {out.shape(0)});
    const i64* ids = input<i64>(samples, "samples");

    NoiseSettings settings = {cells, octaves, persistence, lacunarity, tileable};
    settings.dims = (i32)last;
    settings.size = {last == 3 ? out.shape(1) : 1, out.shape(last - 1), out.shape(last)};
    const std::shared_ptr<const NoiseTables> tables = NoiseTables::get(settings);
    NoiseParams params = tables->params();
    params.seed = seed;
    params.format = kind;
    params.stride_sample = out.strides(0) / size;
    params.stride_plane = last == 3 ? out.strides(1) / size : 0;
    params.stride_row = out.strides(last - 1) / size;
    params.pieces = noise_pieces(params, out.shape(0), threads);
    void* target = out.mutable_data();
    const Kernels& k = kernels();
    run(out.shape(0) * params.pieces, threads,
        [&](i64 first, i64 end) { return k.noise(params, target, ids, first, end); });
}

// Source and target of an image operation: uint8 or float32, (B, H, W), equal in shape and dtype.
ImageBatch image_batch(const py::array& images, py::array& out, const py::array& samples) {
    require_rank(images, "images", 3);
    require_shape(out, "out", {images.shape(0), images.shape(1), images.shape(2)});
    require_shape(samples, "samples", {images.shape(0)});
    // Lung pixels are counted and drawn in 32 bits.
    if (images.shape(1) > 0 && images.shape(2) >= (py::ssize_t{1} << 31) / images.shape(1))
        throw py::value_error("images must have fewer than 2^31 pixels each, not shape " + shape_text(images));
    const i64* ids = input<i64>(samples, "samples");
    if (py::isinstance<py::array_t<u8>>(images))
        return {input<u8>(images, "images"), output<u8>(out, "out"), PIXEL_UINT8, ids};
    return {input<float>(images, "images"), output<float>(out, "out"), PIXEL_FLOAT32, ids};
}

i32 blend_code(const std::string& name) {
    static const char* const names[] = {"replace", "max", "alpha", "add"};
    for (i32 i = 0; i < 4; ++i)
        if (name == names[i]) return i;
    throw py::value_error("blend must be replace, max, alpha or add, not '" + name + "'");
}

void pack_masks(const py::array& masks, py::array bits, py::array before, int threads) {
    require_rank(masks, "masks", 3);
    const i64 height = masks.shape(1), width = masks.shape(2);
    require_shape(bits, "bits", {masks.shape(0), height, words_for(width)});
    require_shape(before, "before", {masks.shape(0), height + 1});
    const u8* from = input<u8>(masks, "masks");
    u64* to = output<u64>(bits, "bits");
    u32* counts = output<u32>(before, "before");
    const Kernels& k = kernels();
    run(masks.shape(0), threads,
        [&](i64 first, i64 last) { return k.pack_masks(from, height, width, to, counts, first, last); });
}

// The bank's arrays, with a check that every patch lies in the pixels. Height and width 0: there is no such patch.
void set_bank(PasteParams& p, const py::array& pixels, const py::array& offsets, const py::array& heights,
              const py::array& widths) {
    require_rank(offsets, "offsets", 1);
    require_shape(heights, "heights", {offsets.shape(0)});
    require_shape(widths, "widths", {offsets.shape(0)});
    p.pixels = input<u8>(pixels, "pixels");
    p.bytes = (i64)pixels.size();
    p.offsets = input<i64>(offsets, "offsets");
    p.heights = input<i32>(heights, "heights");
    p.widths = input<i32>(widths, "widths");
    p.patches = (i32)offsets.shape(0);
    for (i32 i = 0; i < p.patches; ++i)
        if (p.heights[i] < 0 || p.widths[i] < 0 || (p.heights[i] == 0) != (p.widths[i] == 0) || p.offsets[i] < 0 ||
            p.offsets[i] + (i64)p.heights[i] * p.widths[i] > (i64)pixels.size())
            throw py::value_error("patch " + std::to_string(i) + " of the bank lies outside its pixels");
}

i32 shape_code(const std::string& name) {
    static const char* const names[] = {"rectangle", "ellipse", "cloud"};
    for (i32 i = 0; i < 3; ++i)
        if (name == names[i]) return i;
    throw py::value_error("shape must be rectangle, ellipse or cloud, not '" + name + "'");
}

void cover_patches(const py::array& pixels, const py::array& offsets, const py::array& heights,
                   const py::array& widths, const std::string& shape, int feather, py::array cover, int threads) {
    PasteParams p = {};
    set_bank(p, pixels, offsets, heights, widths);
    p.feather = feather;
    if (feather < 0) throw py::value_error("feather must be >= 0");
    const i32 code = shape_code(shape);
    require_shape(cover, "cover", {pixels.size()});
    u8* target = output<u8>(cover, "cover");
    const Kernels& k = kernels();
    run(p.patches, threads, [&](i64 first, i64 last) { return k.cover_patches(p, code, target, first, last); });
}

using Optional = std::optional<py::array>;

// An array that receives what was asked for, or null.
template <typename T>
T* wanted(Optional& array, const char* name, const std::vector<py::ssize_t>& shape) {
    if (!array) return nullptr;
    require_shape(*array, name, shape);
    return output<T>(*array, name);
}

// A copy of so many bytes leaves little of use in the caches: it may as well go past them. Measured with other work in
// between, copying 64 uint8 slices (16 MiB) and pasting takes 1.15 to 1.25 times a plain copy so, 1.5 times by memcpy.
constexpr py::ssize_t STREAM_BYTES = 16 << 20;

void paste(const py::array& images, py::array out, const py::array& bits, const py::array& before,
           const py::array& samples, const py::array& pixels, const py::array& offsets, const py::array& heights,
           const py::array& widths, const Optional& cover, u64 seed, std::pair<int, int> count,
           const std::string& blend, std::pair<int, int> weight, int feather, bool whole, bool own,
           py::array counts,
           py::array skipped, Optional boxes, Optional patches, Optional weights, Optional lesions, int threads) {
    const ImageBatch batch = image_batch(images, out, samples);
    const py::ssize_t number = images.shape(0), most = count.second;
    PasteParams p = {};
    p.seed = seed;
    p.height = images.shape(1);
    p.width = images.shape(2);
    set_bank(p, pixels, offsets, heights, widths);
    p.low_count = count.first;
    p.high_count = count.second;
    p.blend = blend_code(blend);
    p.low_weight = weight.first;
    p.high_weight = weight.second;
    p.feather = feather;
    p.whole = whole;
    p.stream = out.nbytes() >= STREAM_BYTES;
    p.own = own;
    if (count.first < 0 || count.first > count.second) throw py::value_error("count must be 0 <= low <= high");
    if (own) require_shape(offsets, "offsets", {number * most});
    if (!own && p.patches == 0) throw py::value_error("the bank holds no patches");
    if (weight.first < 0 || weight.first > weight.second || weight.second > 256 || feather < 0)
        throw py::value_error("weight must be 0 <= low <= high <= 256, and feather >= 0");
    if (cover) {
        require_shape(*cover, "cover", {pixels.size()});
        p.cover = input<u8>(*cover, "cover");
    }
    require_shape(bits, "bits", {number, images.shape(1), words_for(p.width)});
    require_shape(before, "before", {number, images.shape(1) + 1});
    const PackedMasks masks = {input<u64>(bits, "bits"), input<u32>(before, "before")};
    require_shape(counts, "counts", {number});
    require_shape(skipped, "skipped", {number});
    const PasteRecord record = {output<i32>(counts, "counts"),
                                output<i32>(skipped, "skipped"),
                                most,
                                wanted<i32>(boxes, "boxes", {number, most, 4}),
                                wanted<i32>(patches, "patches", {number, most}),
                                wanted<i32>(weights, "weights", {number, most}),
                                wanted<u8>(lesions, "lesions", {number, images.shape(1), images.shape(2)})};
    const Kernels& k = kernels();
    run(number, threads, [&](i64 first, i64 last) { return k.paste(p, batch, masks, record, first, last); });
}

using WindowSizes = std::array<int, 4>;

// sizes: lowest and highest height, lowest and highest width of a window; looked at only if there are windows.
Windows windows(int count, const WindowSizes& sizes, const py::array& images) {
    const bool fits = 1 <= sizes[0] && sizes[0] <= sizes[1] && sizes[1] <= images.shape(1) && 1 <= sizes[2] &&
                      sizes[2] <= sizes[3] && sizes[3] <= images.shape(2);
    if (count < 0 || (count > 0 && !fits))
        throw py::value_error("window_count must be >= 0 and window_sizes 1 <= low <= high <= the image's sides");
    return {count, sizes[0], sizes[1], sizes[2], sizes[3]};
}

void blur(const py::array& images, py::array out, const py::array& samples, const py::array& weights,
          const py::array& weights_q8, u64 seed, int window_count, const WindowSizes& window_sizes, int threads) {
    const ImageBatch batch = image_batch(images, out, samples);
    require_rank(weights, "weights", 1);
    require_shape(weights_q8, "weights_q8", {weights.shape(0)});
    if (weights.shape(0) % 2 == 0) throw py::value_error("weights must be odd in number");
    const i32* q8 = input<i32>(weights_q8, "weights_q8");
    i64 sum = 0;
    for (py::ssize_t t = 0; t < weights.shape(0); ++t) sum += q8[t] < 0 ? 257 : q8[t];
    if (sum != 256) throw py::value_error("weights_q8 must be 0 or more each and 256 in sum");
    const BlurParams p = {seed,
                          images.shape(1),
                          images.shape(2),
                          (i32)weights.shape(0),
                          input<float>(weights, "weights"),
                          q8,
                          windows(window_count, window_sizes, images)};
    const Kernels& k = kernels();
    run(images.shape(0), threads, [&](i64 first, i64 last) { return k.blur(p, batch, first, last); });
}

void shuffle(const py::array& images, py::array out, const py::array& samples, u64 seed, std::pair<int, int> grid,
             int window_count, const WindowSizes& window_sizes, int threads) {
    const ImageBatch batch = image_batch(images, out, samples);
    if (window_count == 0 && (grid.first < 1 || grid.first > images.shape(1) || grid.second < 1 ||
                              grid.second > images.shape(2)))
        throw py::value_error("grid must have 1 to as many blocks along a side as the image has pixels");
    const ShuffleParams p = {seed, images.shape(1), images.shape(2), grid.first, grid.second,
                             windows(window_count, window_sizes, images)};
    const Kernels& k = kernels();
    run(images.shape(0), threads, [&](i64 first, i64 last) { return k.shuffle(p, batch, first, last); });
}

void candidates(const py::array& images, const py::array& image_ids, u64 seed, std::pair<int, int> patch,
                u32 first_round, py::array out, int threads) {
    require_rank(images, "images", 3);
    require_shape(image_ids, "image_ids", {images.shape(0)});
    require_rank(out, "out", 3);
    const u32 rounds = (u32)out.shape(1);
    require_shape(out, "out", {images.shape(0), (py::ssize_t)rounds, 5});
    const i64 rows = images.shape(1), columns = images.shape(2);
    // The sum of grey of a patch must fit 32 bits.
    if (patch.first < 1 || patch.first > patch.second || patch.second > rows || patch.second > columns ||
        patch.second > 2048)
        throw py::value_error("patch must be 1 <= low <= high <= the image's sides, and high <= 2048");
    const u8* grey = input<u8>(images, "images");
    const i64* ids = input<i64>(image_ids, "image_ids");
    i32* target = output<i32>(out, "out");
    const Kernels& k = kernels();
    run(images.shape(0), threads, [&](i64 first, i64 last) {
        return k.candidates(seed, grey, ids, rows, columns, patch.first, patch.second, first_round, rounds, target,
                            first, last);
    });
}

void scale_grey(const py::array& images, py::array out, int threads) {
    enum { BLOCK = 1 << 16 };  // pixels that a thread takes at a time
    require_shape(out, "out", std::vector<py::ssize_t>(images.shape(), images.shape() + images.ndim()));
    const u8* grey = input<u8>(images, "images");
    float* target = output<float>(out, "out");
    const i64 pixels = images.size();
    const Kernels& k = kernels();
    run((pixels + BLOCK - 1) / BLOCK, threads, [&](i64 first, i64 last) {
        return k.scale_grey(grey, target, first * BLOCK, std::min<i64>(last * BLOCK, pixels));
    });
}

void cut(const py::array& images, const py::array& boxes, const py::array& offsets, py::array out, int threads) {
    require_rank(images, "images", 3);
    require_rank(offsets, "offsets", 1);
    const i64 count = offsets.shape(0), rows = images.shape(1), columns = images.shape(2);
    require_shape(boxes, "boxes", {offsets.shape(0), 5});
    const u8* grey = input<u8>(images, "images");
    const i64* box = input<i64>(boxes, "boxes");
    const i64* places = input<i64>(offsets, "offsets");
    u8* target = output<u8>(out, "out");
    for (i64 i = 0; i < count; ++i) {
        const i64* b = box + 5 * i;
        const bool inside = b[0] >= 0 && b[0] < images.shape(0) && b[1] >= 0 && b[2] >= 0 && b[3] >= 0 && b[4] >= 0 &&
                            b[3] <= rows - b[1] && b[4] <= columns - b[2];
        if (!inside || places[i] < 0 || b[3] * b[4] > (i64)out.size() - places[i])
            throw py::value_error("box " + std::to_string(i) + " lies outside the images or does not fit into out");
    }
    const Kernels& k = kernels();
    run(count, threads, [&](i64 first, i64 last) {
        return k.cut(grey, rows, columns, box, places, target, first, last);
    });
}

// The noise behind fresh patches: square images, in the plane.
std::shared_ptr<const NoiseTables> fresh_noise(i64 size, double cells, int octaves, double persistence,
                                               double lacunarity) {
    if (size < 1 || octaves < 1 || octaves > MAX_OCTAVES)
        throw py::value_error("size must be at least 1, and octaves 1.." + std::to_string(MAX_OCTAVES));
    NoiseSettings settings = {{1.0, cells, cells}, octaves, persistence, lacunarity, false};
    settings.size = {1, size, size};
    return NoiseTables::get(settings);
}

void fresh_table(py::array low, py::array scale, py::array permutation, py::array offsets, u64 noise_seed, i64 size,
                 double cells, int octaves, double persistence, double lacunarity, int threads) {
    const std::shared_ptr<const NoiseTables> tables = fresh_noise(size, cells, octaves, persistence, lacunarity);
    require_rank(low, "low", 1);
    const py::ssize_t images = low.shape(0);
    require_shape(scale, "scale", {images});
    require_shape(permutation, "permutation", {images, 2 * LATTICE_PERIOD});
    require_shape(offsets, "offsets", {images, octaves, 2});
    float* const darkest = output<float>(low, "low");
    float* const scales = output<float>(scale, "scale");
    u8* const permutations = output<u8>(permutation, "permutation");
    u8* const shifts = output<u8>(offsets, "offsets");
    NoiseParams params = tables->params();
    params.seed = noise_seed;
    params.format = FORMAT_GREY_MINMAX;
    const Kernels& k = kernels();
    run(images, threads, [&](i64 first, i64 last) {
        return k.fresh_table(params, darkest, scales, permutations, shifts, first, last);
    });
}

void fresh(const py::array& samples, py::array pixels, py::array heights, py::array widths, const py::array& low,
           const py::array& scale, const py::array& permutation, const py::array& offsets, i64 size, double cells,
           int octaves, double persistence, double lacunarity, std::pair<int, int> patch, int threshold, int centre,
           u64 seed, std::pair<int, int> count, int threads) {
    const std::shared_ptr<const NoiseTables> tables = fresh_noise(size, cells, octaves, persistence, lacunarity);
    // The sum of grey of a patch must fit 32 bits.
    if (patch.first < 1 || patch.first > patch.second || patch.second > size || patch.second > 2048)
        throw py::value_error("patch must be 1 <= low <= high <= size, and high <= 2048");
    if (count.first < 0 || count.first > count.second || count.second >= 1 << 24)
        throw py::value_error("count must be 0 <= low <= high < 2^24");
    if (threshold < 0 || threshold > 255) throw py::value_error("threshold must be 0..255");
    require_rank(low, "low", 1);
    const py::ssize_t images = low.shape(0);
    if (images < 1 || images > INT32_MAX) throw py::value_error("low must hold 1 to 2^31 - 1 images");
    require_shape(scale, "scale", {images});
    require_shape(permutation, "permutation", {images, 2 * LATTICE_PERIOD});
    require_shape(offsets, "offsets", {images, octaves, 2});
    require_rank(samples, "samples", 1);
    const py::ssize_t slots = samples.shape(0) * count.second;
    require_shape(pixels, "pixels", {slots * patch.second * patch.second});
    require_shape(heights, "heights", {slots});
    require_shape(widths, "widths", {slots});
    const FreshTable table = {input<float>(low, "low"), input<float>(scale, "scale"),
                              input<u8>(permutation, "permutation"), input<u8>(offsets, "offsets")};
    const FreshParams params = {seed,      (i32)images, patch.first, patch.second, threshold,
                                centre,    count.first, count.second, table};
    const FreshPatches out = {input<i64>(samples, "samples"), output<u8>(pixels, "pixels"),
                              output<i32>(heights, "heights"), output<i32>(widths, "widths")};
    const Kernels& k = kernels();
    run(slots, threads, [&](i64 first, i64 last) { return k.fresh(tables->params(), params, out, first, last); });
}

py::array_t<u32> philox_words(u64 seed, i64 sample, u32 stream, u32 index) {
    const Words words = philox(seed, (u64)sample, stream, index);
    return py::array_t<u32>(4, words.w);
}

std::vector<std::pair<std::string, bool>> tier_table() {
    std::vector<std::pair<std::string, bool>> table;
    for (const Tier& tier : tiers()) table.emplace_back(tier.kernels->name, tier.supported);
    return table;
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() = "Compiled CPU operations of plr_fast; call them through plr_fast, which validates and allocates.";
    m.attr("__version__") = PLR_VERSION;
    m.attr("compiler") = PLR_COMPILER;
    using namespace py::literals;
    m.def("noise", &noise, "out"_a, "samples"_a, "seed"_a, "cells"_a, "octaves"_a, "persistence"_a, "lacunarity"_a,
          "tileable"_a, "format"_a, "threads"_a, "Fill out with one noise sample per id.");
    m.def("pack_masks", &pack_masks, "masks"_a, "bits"_a, "before"_a, "threads"_a,
          "Pack masks into bits and count their pixels before each row.");
    m.def("cover_patches", &cover_patches, "pixels"_a, "offsets"_a, "heights"_a, "widths"_a, "shape"_a, "feather"_a,
          "cover"_a, "threads"_a, "How much of each pixel of a bank its patch covers.");
    m.def("paste", &paste, "images"_a, "out"_a, "bits"_a, "before"_a, "samples"_a, "pixels"_a, "offsets"_a, "heights"_a,
          "widths"_a, "cover"_a, "seed"_a, "count"_a, "blend"_a, "weight"_a, "feather"_a, "whole"_a, "own"_a, "counts"_a,
          "skipped"_a, "boxes"_a, "patches"_a, "weights"_a, "lesions"_a, "threads"_a,
          "Copy images to out and paste patches into the masked part; the last arrays receive what was done.");
    m.def("blur", &blur, "images"_a, "out"_a, "samples"_a, "weights"_a, "weights_q8"_a, "seed"_a, "window_count"_a,
          "window_sizes"_a, "threads"_a, "Separable blur of whole images or of random windows.");
    m.def("shuffle", &shuffle, "images"_a, "out"_a, "samples"_a, "seed"_a, "grid"_a, "window_count"_a,
          "window_sizes"_a, "threads"_a, "Shuffle pixels inside grid blocks or random windows.");
    m.def("candidates", &candidates, "images"_a, "image_ids"_a, "seed"_a, "patch"_a, "first_round"_a, "out"_a,
          "threads"_a, "Grey sum, top, left, height, width of each candidate patch.");
    m.def("scale_grey", &scale_grey, "images"_a, "out"_a, "threads"_a, "uint8 grey to float32 in [0, 1].");
    m.def("cut", &cut, "images"_a, "boxes"_a, "offsets"_a, "out"_a, "threads"_a,
          "Copy boxes (image, top, left, height, width) out of images, each to its offset in out.");
    m.def("fresh_table", &fresh_table, "low"_a, "scale"_a, "permutation"_a, "offsets"_a, "noise_seed"_a, "size"_a,
          "cells"_a, "octaves"_a, "persistence"_a, "lacunarity"_a, "threads"_a,
          "Fill the table of the noise images that fresh patches are made from.");
    m.def("fresh", &fresh, "samples"_a, "pixels"_a, "heights"_a, "widths"_a, "low"_a, "scale"_a, "permutation"_a,
          "offsets"_a, "size"_a, "cells"_a, "octaves"_a, "persistence"_a, "lacunarity"_a, "patch"_a, "threshold"_a,
          "centre"_a, "seed"_a, "count"_a, "threads"_a, "Make fresh patches, so many slots for each sample.");
    m.def("philox", &philox_words, "seed"_a, "sample"_a, "stream"_a, "index"_a, "The four words of one counter value.");
    m.def("tier", [] { return std::string(kernels().name); }, "Name of the instruction set in use.");
    m.def("tiers", &tier_table, "Instruction sets in this build, best first, and whether this CPU has them.");
    m.def("select_tier", &select_tier, "name"_a, "Use the instruction set of that name; '' for the best one.");
}

}  // namespace bind
}  // namespace plr

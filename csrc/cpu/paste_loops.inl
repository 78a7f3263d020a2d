// Pasting patches into the lungs of a batch of slices.

// A patch of the bank and where it goes; rows y0..y1 - 1 and columns x0..x1 - 1 of it lie in the image.
struct Placed {
    i64 offset;  // of its first byte in the bank
    i32 patch, weight;
    i32 height, width;
    i32 top, left;
    i32 y0, y1, x0, x1;
};

static inline Placed place_at(const PasteParams& p, const Placement& place, i32 top, i32 left) {
    Placed at;
    at.offset = p.offsets[place.patch];
    at.patch = place.patch;
    at.weight = place.weight;
    at.height = p.heights[place.patch];
    at.width = p.widths[place.patch];
    at.top = top;
    at.left = left;
    at.y0 = max_i32(0, -top);
    at.y1 = min_i32(at.height, (i32)p.height - top);
    at.x0 = max_i32(0, -left);
    at.x1 = min_i32(at.width, (i32)p.width - left);
    return at;
}

// Memory for looking through all places of a patch.
struct PlaceScratch {
    u32* before;
    u64* row;
};

// Where the patch lies in the lung as a whole. Tries come first, for most of them succeed; a patch that has failed them
// all goes to one of all the places that are left for it. Either way each place is equally likely.
static bool find_whole(const PasteParams& p, u64 sample, i32 number, const PackedMask& mask, i32 height, i32 width,
                       const PlaceScratch& scratch, i32* top, i32* left) {
    for (i32 attempt = 1; !box_is_set(mask, *top, *left, height, width); ++attempt) {
        const u32 word = place_word(p.seed, sample, number, attempt);
        if (attempt == PLACE_TRIES) {
            const u32 places = count_boxes(mask, height, width, scratch.before, scratch.row);
            if (places > 0) kth_box(mask, height, width, scratch.before, scratch.row, below(word, places), top, left);
            return places > 0;
        }
        i32 row, column;
        kth_set_pixel(mask, below(word, mask.before[mask.rows]), &row, &column);
        *top = row - height / 2;
        *left = column - width / 2;
    }
    return true;
}

enum { PLACED = 32 };  // patches that are placed at a time

// Places of `some` patches from number `first` on; returns how many there are, for some may fit nowhere. The words are
// made lane by lane, so that compilers make many at once.
static i32 place_patches(const PasteParams& p, u64 sample, const PackedMask& mask, i32 first, i32 some,
                         const PlaceScratch& scratch, Placed* placed) {
    u32 lanes[3][PLACED];
    for (i32 i = 0; i < PLACED; ++i) {
        const Words words = placement_words(p, sample, first + i);
        for (i32 w = 0; w < 3; ++w) lanes[w][i] = words.w[w];
    }
    i32 found = 0;
    for (i32 i = 0; i < some; ++i) {
        const Words words = {{lanes[0][i], lanes[1][i], lanes[2][i], 0}};
        const Placement place = placement(p, first + i, words, mask.before[mask.rows]);
        const i32 height = p.heights[place.patch], width = p.widths[place.patch];
        if (height == 0) continue;  // an own patch that could not be made
        i32 row, column;
        kth_set_pixel(mask, place.pixel, &row, &column);
        i32 top = row - height / 2, left = column - width / 2;
        if (p.whole && !find_whole(p, sample, first + i, mask, height, width, scratch, &top, &left)) continue;
        placed[found++] = place_at(p, place, top, left);
    }
    return found;
}

// Which of up to 64 pixels from (y, x) of a patch on are lung and belong to the patch. A blend that knows no opacity
// takes the half of a shape that is covered best.
template <bool WEIGHTED>
static inline u64 pixels_to_write(const PasteParams& p, const Placed& at, const PackedMask& mask, i32 y, i32 x) {
    const i32 count = min_i32(64, at.x1 - x);
    const u64 lung = mask_window(mask, at.top + y, at.left + x) & low_bits(count);
    if (p.cover == nullptr) return lung;
    const i64 first = at.offset + (i64)y * at.width + x;
    // Nearly everywhere 64 bytes can be read, whatever the width; those beyond it belong to no pixel of `lung`.
    if (first + 64 <= p.bytes) return lung & pack_64<!WEIGHTED>(p.cover + first);
    return lung & pack_bytes<!WEIGHTED>(p.cover + first, count);
}

// Opacity of up to 64 pixels from x0 on, row by row. Blends that know none are given no memory for it.
template <bool WEIGHTED>
struct RowWeights {
    RowWeights(const PasteParams&, const Placed&, i32) {}
    const u16* row(i32) { return nullptr; }
};

template <>
struct RowWeights<true> {
    const PasteParams& p;
    const Placed& at;
    const i32 x0;
    u16 across[64], weight[64];

    RowWeights(const PasteParams& params, const Placed& placed, i32 first) : p(params), at(placed), x0(first) {
        for (i32 x = 0; x < 64; ++x) weight[x] = (u16)at.weight;
        if (p.feather == 0 || p.cover != nullptr) return;
        for (i32 x = 0; x < min_i32(64, at.x1 - x0); ++x)
            weight[x] = (u16)feathered(at.weight, p.feather, to_edge(x0 + x, at.width));
        __builtin_memcpy(across, weight, sizeof across);
    }
    const u16* row(i32 y) {
        if (p.cover != nullptr) {
            const i64 start = at.offset + (i64)y * at.width + x0;
            const u8* cover = p.cover + start;
            if (start + 64 <= p.bytes)
                for (i32 x = 0; x < 64; ++x) weight[x] = (u16)covered(at.weight, cover[x]);
            else
                for (i32 x = 0; x < min_i32(64, at.x1 - x0); ++x) weight[x] = (u16)covered(at.weight, cover[x]);
        } else if (p.feather > 0) {
            const u16 highest = (u16)feathered(at.weight, p.feather, to_edge(y, at.height));
            for (i32 x = 0; x < 64; ++x) weight[x] = across[x] < highest ? across[x] : highest;
        }
        return weight;
    }
};

// The blend is a template argument, so that the loop over a row is free of choices.
template <i32 BLEND, typename T>
static void paste_patch(const PasteParams& p, const Placed& at, const PackedMask& mask, T* image) {
    const u8* patch = p.pixels + at.offset;
    for (i32 x = at.x0; x < at.x1; x += 64) {
        RowWeights<weighted(BLEND)> weights(p, at, x);
        for (i32 y = at.y0; y < at.y1; ++y)
            blend_row<BLEND>(pixels_to_write<weighted(BLEND)>(p, at, mask, y, x), patch + (i64)y * at.width + x,
                             weights.row(y), image + (at.top + y) * p.width + at.left + x);
    }
}

template <bool WEIGHTED>
static void mark_patch(const PasteParams& p, const Placed& at, const PackedMask& mask, u8* lesions) {
    for (i32 y = at.y0; y < at.y1; ++y)
        for (i32 x = at.x0; x < at.x1; x += 64) {
            const u64 written = pixels_to_write<WEIGHTED>(p, at, mask, y, x);
            u8* to = lesions + (at.top + y) * p.width + at.left + x;
            for (i32 i = 0; i < min_i32(64, at.x1 - x); ++i) to[i] |= (u8)(written >> i & 1);
        }
}

// Places are chosen at random all over the lung, so most of a mask's bits are read: they are asked for while the image
// before is in hand. Measured, this takes a sixth to a fifth off the time of pasting in place.
static inline void fetch_mask(const PackedMask& mask) {
    enum { MOST_WORDS = 8192, WORDS_PER_LINE = 8, COUNTS_PER_LINE = 16 };
    const i64 words = (i64)mask.rows * mask.words;
    if (words > MOST_WORDS) return;  // too much to keep near
    for (i32 y = 0; y <= mask.rows; y += COUNTS_PER_LINE) __builtin_prefetch(mask.before + y, 0, 2);
    for (i64 w = 0; w < words; w += WORDS_PER_LINE) __builtin_prefetch(mask.bits + w, 0, 2);
}

// The lines that a patch will touch lie far apart: they are asked for while the patches before it are pasted. Measured,
// four patches ahead take a fifth off the time of float32 batches.
enum { AHEAD = 4 };

template <typename T>
static inline void fetch_ahead(const PasteParams& p, const Placed& at, const T* image) {
    if (at.x0 >= at.x1) return;
    for (i32 y = at.y0; y < at.y1; ++y) {
        const T* row = image + (at.top + y) * p.width + at.left;
        __builtin_prefetch(row + at.x0, 1);
        __builtin_prefetch(row + at.x1 - 1, 1);
    }
}

static void note_patch(const PasteRecord& record, i64 entry, const Placed& at) {
    if (record.boxes != nullptr) {
        i32* box = record.boxes + 4 * entry;
        box[0] = at.top + at.y0;
        box[1] = at.left + at.x0;
        box[2] = at.y1 - at.y0;
        box[3] = at.x1 - at.x0;
    }
    if (record.patches != nullptr) record.patches[entry] = at.patch;
    if (record.weights != nullptr) record.weights[entry] = at.weight;
}

// Patches into image n of the batch.
template <i32 BLEND, typename T>
static void paste_image(const PasteParams& p, u64 sample, const PackedMask& mask, T* image, const PlaceScratch& scratch,
                        const PasteRecord& record, i64 n) {
    Placed placed[PLACED];
    const i32 count = mask.before[mask.rows] == 0 ? 0 : paste_count(p, sample);
    u8* lesions = record.lesions == nullptr ? nullptr : record.lesions + n * p.height * p.width;
    i32 pasted = 0;
    for (i32 first = 0; first < count; first += PLACED) {
        const i32 some = place_patches(p, sample, mask, first, min_i32(PLACED, count - first), scratch, placed);
        for (i32 i = 0; i < min_i32(AHEAD, some); ++i) fetch_ahead(p, placed[i], image);
        for (i32 i = 0; i < some; ++i) {
            if (i + AHEAD < some) fetch_ahead(p, placed[i + AHEAD], image);
            paste_patch<BLEND>(p, placed[i], mask, image);
            if (lesions != nullptr) mark_patch<weighted(BLEND)>(p, placed[i], mask, lesions);
            note_patch(record, n * record.most + pasted + i, placed[i]);
        }
        pasted += some;
    }
    record.counts[n] = pasted;
    record.skipped[n] = count - pasted;
}

template <typename T>
static void paste_blended(const PasteParams& p, u64 sample, const PackedMask& mask, T* image,
                          const PlaceScratch& scratch, const PasteRecord& record, i64 n) {
    switch (p.blend) {
        case BLEND_REPLACE: paste_image<BLEND_REPLACE>(p, sample, mask, image, scratch, record, n); break;
        case BLEND_MAX: paste_image<BLEND_MAX>(p, sample, mask, image, scratch, record, n); break;
        case BLEND_ALPHA: paste_image<BLEND_ALPHA>(p, sample, mask, image, scratch, record, n); break;
        default: paste_image<BLEND_ADD>(p, sample, mask, image, scratch, record, n); break;
    }
}

static inline PackedMask mask_of(const PackedMasks& masks, i64 n, i32 rows, i32 words) {
    return {masks.bits + n * rows * words, masks.before + n * (rows + 1), rows, words};
}

// What image n is pasted with: the bank, or its part of it.
static PasteParams paste_params(const PasteParams& p, i64 n) {
    PasteParams own = p;
    const i64 skip = p.own ? n * p.high_count : 0;
    own.offsets += skip;
    own.heights += skip;
    own.widths += skip;
    return own;
}

int paste(const PasteParams& p, const ImageBatch& batch, const PackedMasks& masks, const PasteRecord& record, i64 first,
          i64 last) {
    const i32 rows = (i32)p.height, words = words_for(p.width);
    Scratch memory(p.whole ? Scratch::need<u32>(rows + 1) + Scratch::need<u64>(words) : 0);
    if (memory.failed()) return STATUS_NO_MEMORY;
    const PlaceScratch scratch = {memory.take<u32>(p.whole ? rows + 1 : 0), memory.take<u64>(p.whole ? words : 0)};
    const i64 pixels = p.height * p.width;
    const i64 bytes = pixels * (batch.pixel == PIXEL_UINT8 ? 1 : 4);
    for (i64 n = first; n < last; ++n) {
        const u64 sample = (u64)batch.samples[n];
        const PackedMask mask = mask_of(masks, n, rows, words);
        if (n + 1 < last) fetch_mask(mask_of(masks, n + 1, rows, words));
        char* target = (char*)batch.target + n * bytes;
        const char* source = (const char*)batch.source + n * bytes;
        if (batch.source != batch.target && p.stream)
            copy_past_caches(target, source, bytes);
        else if (batch.source != batch.target)
            __builtin_memcpy(target, source, (unsigned long)bytes);
        if (record.lesions != nullptr) __builtin_memset(record.lesions + n * pixels, 0, (unsigned long)pixels);
        if (batch.pixel == PIXEL_UINT8)
            paste_blended(paste_params(p, n), sample, mask, (u8*)target, scratch, record, n);
        else
            paste_blended(paste_params(p, n), sample, mask, (float*)target, scratch, record, n);
    }
    return STATUS_OK;
}

// How much of each of its pixels a patch covers, for patches [first, last) of a bank.
int cover_patches(const PasteParams& p, i32 shape, u8* cover, i64 first, i64 last) {
    for (i64 i = first; i < last; ++i) {
        const i32 height = p.heights[i], width = p.widths[i];
        if (height == 0) continue;
        const i32 reach = edge_reach(shape, p.feather, height, width);
        const u8* patch = p.pixels + p.offsets[i];
        u8 low = 255, high = 0;
        for (i64 k = 0; k < (i64)height * width; ++k) {
            low = patch[k] < low ? patch[k] : low;
            high = patch[k] > high ? patch[k] : high;
        }
        for (i32 y = 0; y < height; ++y) {
            const i32 down = from_middle(y, height);
            for (i32 x = 0; x < width; ++x) {
                const i64 k = (i64)y * width + x;
                cover[p.offsets[i] + k] = patch_cover(shape, reach, down, from_middle(x, width), patch[k], low, high);
            }
        }
    }
    return STATUS_OK;
}

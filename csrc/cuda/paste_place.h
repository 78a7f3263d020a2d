// Where patches go: the first part of pasting. One thread finds one patch's place; what was done is noted in order.
#ifndef PLR_CUDA_PASTE_PLACE_H
#define PLR_CUDA_PASTE_PLACE_H

#include "../core/lesions.h"
#include "noise_setup.h"
#include "running_sum.h"

namespace plr {
namespace cuda {

// A patch and where it goes.
struct alignas(16) PlacedPatch {
    i32 top, left;
    i32 height, width;  // height 0: not pasted; less than 0: -height, and all places for it are still to be looked through
    i64 offset;         // of its first byte in the bank
    i32 patch, weight;
};

enum PlaceStage : i32 {
    PLACE_AND_NOTE = 0,
    PLACE_ONLY = 1,  // patches that have failed all tries wait for SearchPlaces
    NOTE_ONLY = 2,
};

struct PlaceParams {
    PasteParams paste;
    SampleIds samples;
    const u64* bits;      // [batch][height][words]
    const u32* before;    // [batch][height + 1]
    PlacedPatch* placed;  // [batch][high_count] written as far as the image's count
    i32* counts;          // [batch] patches pasted
    i32* skipped;         // [batch]
    i32* boxes;           // [batch][high_count][4], or null, as the next two
    i32* patches;         // [batch][high_count]
    i32* weights;         // [batch][high_count]
    i32 stage;            // PlaceStage
};

PLR_BODY PackedMask mask_of(const PlaceParams& p, i64 image) {
    const i32 rows = (i32)p.paste.height, words = words_for(p.paste.width);
    return {p.bits + image * rows * words, p.before + image * (rows + 1), rows, words};
}

PLR_BODY i32 count_for(const PlaceParams& p, i64 image) {
    return mask_of(p, image).before[p.paste.height] == 0 ? 0 : paste_count(p.paste, sample_id(p.samples, image));
}

// One block for each image.
struct PlacePatches {
    static constexpr u32 threads = RunningSum::threads, blocks = 2, phases = 2 + RunningSum::phases;
    typedef PlaceParams Params;
    typedef RunningSum::Shared Shared;
    struct Thread {
        i32 count;
    };

    template <int phase>
    PLR_BODY void run(const At& at, Thread& mine, Shared& shared, const Params& p) {
        const i64 image = at.x;
        PlacedPatch* const placed = p.placed + image * p.paste.high_count;
        if (phase == 0) {
            mine.count = count_for(p, image);
            if (p.stage == NOTE_ONLY) return;
            const u64 sample = sample_id(p.samples, image);
            for (i32 i = (i32)at.thread; i < mine.count; i += threads) placed[i] = place(p, image, sample, i);
            return;
        }
        if (p.stage == PLACE_ONLY) return;
        const i32 chunk = (mine.count + (i32)threads - 1) / (i32)threads;
        const i32 first = min_i32((i32)at.thread * chunk, mine.count), end = min_i32(first + chunk, mine.count);
        if (phase == 1) {
            u32 found = 0;
            for (i32 i = first; i < end; ++i) found += placed[i].height > 0;
            RunningSum::put(at.thread, found, shared);
        } else if (phase == 2) {
            RunningSum::add_groups(at.thread, shared);
        } else {
            if (at.thread == 0) {
                const i32 total = (i32)RunningSum::total(shared);
                p.counts[image] = total;
                p.skipped[image] = mine.count - total;
            }
            if (p.boxes == nullptr && p.patches == nullptr && p.weights == nullptr) return;
            i64 entry = image * p.paste.high_count + RunningSum::before(at.thread, shared);
            for (i32 i = first; i < end; ++i)
                if (placed[i].height > 0) note(p, entry++, placed[i]);
        }
    }

    PLR_BODY PlacedPatch place(const Params& p, i64 image, u64 sample, i32 number) {
        const PackedMask mask = mask_of(p, image);
        const Placement chosen = placement(p.paste, number, placement_words(p.paste, sample, number), mask.before[mask.rows]);
        const i64 entry = chosen.patch + (p.paste.own ? image * p.paste.high_count : 0);
        PlacedPatch at;
        at.height = p.paste.heights[entry];
        at.width = p.paste.widths[entry];
        at.offset = p.paste.offsets[entry];
        at.patch = chosen.patch;
        at.weight = chosen.weight;
        at.top = at.left = 0;
        if (at.height == 0) return at;  // an own patch that could not be made
        u32 pixel = chosen.pixel;
        for (i32 attempt = 1;; ++attempt) {
            i32 row, column;
            kth_set_pixel(mask, pixel, &row, &column);
            at.top = row - at.height / 2;
            at.left = column - at.width / 2;
            if (!p.paste.whole || box_is_set(mask, at.top, at.left, at.height, at.width)) return at;
            if (attempt == PLACE_TRIES) break;
            pixel = below(place_word(p.paste.seed, sample, number, attempt), mask.before[mask.rows]);
        }
        at.height = -at.height;
        return at;
    }

    PLR_BODY void note(const Params& p, i64 entry, const PlacedPatch& at) {
        if (p.boxes != nullptr) {
            const i32 top = max_i32(at.top, 0), left = max_i32(at.left, 0);
            i32* const box = p.boxes + 4 * entry;
            box[0] = top;
            box[1] = left;
            box[2] = min_i32(at.top + at.height, (i32)p.paste.height) - top;
            box[3] = min_i32(at.left + at.width, (i32)p.paste.width) - left;
        }
        if (p.patches != nullptr) p.patches[entry] = at.patch;
        if (p.weights != nullptr) p.weights[entry] = at.weight;
    }
};

// One block for each patch of each image: nothing to do for most; for those that have failed all tries, one of all the
// places where they lie in the lung as a whole.
struct SearchPlaces {
    static constexpr u32 threads = RunningSum::threads, blocks = 4, phases = 1 + RunningSum::phases;
    typedef PlaceParams Params;
    typedef RunningSum::Shared Shared;
    struct Thread {
        i32 height, width;  // of the patch; height 0: nothing to do
    };

    template <int phase>
    PLR_BODY void run(const At& at, Thread& mine, Shared& shared, const Params& p) {
        const i64 image = at.x / (u32)p.paste.high_count;
        const i32 number = (i32)(at.x % (u32)p.paste.high_count);
        PlacedPatch& patch = p.placed[image * p.paste.high_count + number];
        if (phase == 0) {
            mine.height = number < count_for(p, image) ? max_i32(-patch.height, 0) : 0;
            mine.width = mine.height > 0 ? patch.width : 0;
        }
        if (mine.height == 0) return;
        const PackedMask mask = mask_of(p, image);
        const i32 rows = max_i32(mask.rows - mine.height + 1, 0);
        const i32 chunk = (rows + (i32)threads - 1) / (i32)threads;
        const i32 first = min_i32((i32)at.thread * chunk, rows), end = min_i32(first + chunk, rows);
        if (phase == 0) {
            u32 places = 0;
            for (i32 top = first; top < end; ++top) places += count_places(mask, top, mine);
            RunningSum::put(at.thread, places, shared);
        } else if (phase == 1) {
            RunningSum::add_groups(at.thread, shared);
        } else {
            const u32 places = RunningSum::total(shared), before = RunningSum::before(at.thread, shared);
            if (places == 0) return;  // the height stays below 0: not pasted
            u32 k = below(place_word(p.paste.seed, sample_id(p.samples, image), number, PLACE_TRIES), places);
            if (k < before || k - before >= shared.number[at.thread]) return;
            k -= before;
            for (i32 top = first; top < end; ++top) {
                const u32 here = count_places(mask, top, mine);
                if (k < here) {
                    patch.top = top;
                    patch.left = kth_place(mask, top, mine, here - 1 - k);
                    patch.height = mine.height;
                    return;
                }
                k -= here;
            }
        }
    }

    // Bit x is set where a box with its left side there is set in all its rows. Words are asked for from the last to the
    // first; `run` is how many pixels from the end of this word on are set in all rows, and is moved on to its start.
    PLR_BODY u64 places_in_word(const PackedMask& mask, i32 top, i32 w, const Thread& box, i32* run) {
        u64 set = ~(u64)0;
        for (i32 y = top; y < top + box.height; ++y) set &= mask.bits[(i64)y * mask.words + w];
        // Boxes that end in this word: each bit with its right neighbours, twice as many in every step.
        u64 places = box.width <= 64 ? set : 0;
        for (i32 covered = 1; covered < box.width && places != 0;) {
            const i32 step = min_i32(covered, box.width - covered);
            places &= places >> step;
            covered += step;
        }
        // Boxes that go on beyond it: of the pixels set up to its end, those near enough to the end of the run.
        const i32 up_to_end = set == ~(u64)0 ? 64 : 63 - highest_bit(~set);
        const i32 last = min_i32(63, 64 + *run - box.width);
        if (last >= 64 - up_to_end) places |= low_bits(last + 1) & ~low_bits(64 - up_to_end);
        *run = set == ~(u64)0 ? *run + 64 : lowest_bit(~set);
        return places;
    }

    PLR_BODY u32 count_places(const PackedMask& mask, i32 top, const Thread& box) {
        u32 count = 0;
        i32 run = 0;
        for (i32 w = mask.words - 1; w >= 0; --w) count += (u32)bit_count(places_in_word(mask, top, w, box, &run));
        return count;
    }

    // The left side of the place that has `right` places right of it.
    PLR_BODY i32 kth_place(const PackedMask& mask, i32 top, const Thread& box, u32 right) {
        i32 run = 0;
        for (i32 w = mask.words - 1; w >= 0; --w) {
            const u64 places = places_in_word(mask, top, w, box, &run);
            const u32 here = (u32)bit_count(places);
            if (right < here) return 64 * w + kth_bit(places, (i32)(here - 1 - right));
            right -= here;
        }
        return 0;  // not reached: there are more places than `right`
    }

    PLR_BODY i32 highest_bit(u64 word) {  // of a word that is not 0
#if defined(PLR_DEVICE_CODE)
        return 63 - __clzll((i64)word);
#else
        return 63 - __builtin_clzll(word);
#endif
    }
};

}  // namespace cuda
}  // namespace plr

#endif

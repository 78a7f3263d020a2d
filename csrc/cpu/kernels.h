// The operations as the bindings call them: one table of functions per instruction set, chosen at run time.
//
// Every function works on samples [first, last) of a batch, may run on any thread, and never throws; it returns
// STATUS_OK, or STATUS_NO_MEMORY when its scratch memory could not be had.
#ifndef PLR_CPU_KERNELS_H
#define PLR_CPU_KERNELS_H

#include "../core/filters.h"
#include "../core/fresh.h"
#include "../core/half.h"
#include "../core/lesions.h"
#include "../core/masks.h"
#include "../core/noise.h"

namespace plr {

enum Status : int { STATUS_OK = 0, STATUS_NO_MEMORY = 1 };

enum PixelType : i32 { PIXEL_UINT8 = 0, PIXEL_FLOAT32 = 1 };

// Images of a batch, contiguous; `source` and `target` may be the same memory.
struct ImageBatch {
    const void* source;
    void* target;
    PixelType pixel;
    const i64* samples;  // [batch] sample ids
};

// Masks packed into bits, as core/masks.h says, one after the other.
struct PackedMasks {
    const u64* bits;
    const u32* before;
};

// What pasting reports; everything but `counts` and `skipped` may be null.
struct PasteRecord {
    i32* counts;    // [batch] patches pasted
    i32* skipped;   // [batch] patches for which there was no place, or that could not be made
    i64 most;       // room for so many patches per image in the three below
    i32* boxes;     // [batch][most][4] top, left, height, width of each patch, cut to the image
    i32* patches;   // [batch][most] index in the bank, or among the image's own patches
    i32* weights;   // [batch][most] opacity in 1/256
    u8* lesions;    // [batch][height][width] 1 where a patch wrote, else 0
};

// Slots for fresh patches, the same number for each sample.
struct FreshPatches {
    const i64* samples;  // [batch] sample ids
    u8* pixels;          // [batch][high_count][high_side squared] each patch row by row from the start of its slot
    i32* heights;        // [batch][high_count] 0 where there is no patch
    i32* widths;         // likewise
};

struct Kernels {
    const char* name;
    int (*noise)(const NoiseParams&, void* out, const i64* samples, i64 first, i64 last);
    int (*pack_masks)(const u8* masks, i64 height, i64 width, u64* bits, u32* before, i64 first, i64 last);
    int (*cover_patches)(const PasteParams&, i32 shape, u8* cover, i64 first, i64 last);
    int (*paste)(const PasteParams&, const ImageBatch&, const PackedMasks&, const PasteRecord&, i64 first, i64 last);
    int (*blur)(const BlurParams&, const ImageBatch&, i64 first, i64 last);
    int (*shuffle)(const ShuffleParams&, const ImageBatch&, i64 first, i64 last);
    // out: int32 [image][round][5] = sum of grey, top, left, height, width of each candidate patch
    int (*candidates)(u64 seed, const u8* images, const i64* image_ids, i64 rows, i64 columns, i32 low, i32 high,
                      u32 first_round, u32 rounds, i32* out, i64 first, i64 last);
    int (*scale_grey)(const u8* grey, float* out, i64 first, i64 last);
    // boxes: int64 [count][5] = image, top, left, height, width; box i goes to out[offsets[i]] on, row by row
    int (*cut)(const u8* images, i64 rows, i64 columns, const i64* boxes, const i64* offsets, u8* out, i64 first,
               i64 last);
    // The arrays of FreshTable, for images [first, last).
    int (*fresh_table)(const NoiseParams&, float* low, float* scale, u8* permutation, u8* offsets, i64 first, i64 last);
    int (*fresh)(const NoiseParams&, const FreshParams&, const FreshPatches&, i64 first, i64 last);  // slots [first, last)
};

}  // namespace plr

#endif

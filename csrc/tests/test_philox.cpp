#include <algorithm>
#include <vector>

#include "../core/philox.h"
#include "check.h"

using namespace plr;

namespace {

bool equal(const Words& words, u32 a, u32 b, u32 c, u32 d) {
    return words.w[0] == a && words.w[1] == b && words.w[2] == c && words.w[3] == d;
}

// The vectors that the generator's authors publish (Random123, kat_vectors).
void published_vectors() {
    CHECK(equal(philox(0, 0, 0, 0), 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
    const u64 ones = ~0ull;
    CHECK(equal(philox(ones, ones, 0xffffffffu, 0xffffffffu), 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
    CHECK(equal(philox(0x299f31d0a4093822ull, 0x0370734413198a2eull, 0x85a308d3u, 0x243f6a88u), 0xd16cfe09u,
                0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

void below_covers_its_range() {
    CHECK(below(0u, 7u) == 0u);
    CHECK(below(0xffffffffu, 7u) == 6u);
    CHECK(below(0x80000000u, 2u) == 1u);
    CHECK(below(0xffffffffu, 1u) == 0u);
}

void sequence_walks_through_the_blocks() {
    WordSequence words = word_sequence(1, 2, 3);
    for (u32 i = 0; i < 9; ++i) CHECK(next_word(words) == philox(1, 2, 3, i / 4).w[i % 4]);
}

void fisher_yates_permutes() {
    for (u32 n : {0u, 1u, 2u, 5u, 256u}) {
        std::vector<int> items(n);
        for (u32 i = 0; i < n; ++i) items[i] = (int)i;
        fisher_yates(word_sequence(9, 9, 9), items.data(), n);
        std::vector<int> sorted = items;
        std::sort(sorted.begin(), sorted.end());
        for (u32 i = 0; i < n; ++i) CHECK(sorted[i] == (int)i);
        if (n == 256) CHECK(items != sorted);
    }
}

}  // namespace

int main() {
    published_vectors();
    below_covers_its_range();
    sequence_walks_through_the_blocks();
    fisher_yates_permutes();
    return plr_test::report();
}

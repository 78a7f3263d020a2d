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

// The shuffle by its definition, one word at a time.
void fisher_yates_takes_the_words_in_order() {
    for (u32 n : {0u, 1u, 2u, 5u, 128u, 129u, 130u, 1000u}) {
        std::vector<u32> items(n), expected(n);
        for (u32 i = 0; i < n; ++i) items[i] = expected[i] = i;
        for (u32 step = 0; step + 1 < n; ++step) {
            const u32 i = n - 1 - step, word = philox(9, 8, 7, step / 4).w[step % 4];
            std::swap(expected[i], expected[below(word, i + 1)]);
        }
        fisher_yates(9, 8, 7, items.data(), n);
        CHECK(items == expected);
        std::sort(items.begin(), items.end());
        for (u32 i = 0; i < n; ++i) CHECK(items[i] == i);
    }
}

}  // namespace

int main() {
    published_vectors();
    below_covers_its_range();
    fisher_yates_takes_the_words_in_order();
    return plr_test::report();
}

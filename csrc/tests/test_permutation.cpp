// Permutations of the lattice are uniform: every value equally often at every place and next to every other one.
#include <cmath>
#include <vector>

#include "../core/noise.h"
#include "check.h"

using namespace plr;

namespace {

constexpr i32 N = LATTICE_PERIOD, DRAWN = 20000;

// sum (count - mean)^2 / mean
double chi_square(const std::vector<i32>& counts, double mean) {
    double sum = 0;
    for (i32 count : counts) sum += (count - mean) * (count - mean) / mean;
    return sum;
}

void values_are_uniform_over_places() {
    std::vector<i32> at_place(N * N), differences(N - 1);
    std::vector<u8> p(N);
    for (i32 n = 0; n < DRAWN; ++n) {
        fill_permutation(3, (u64)n, p.data());
        std::vector<bool> seen(N);
        for (i32 i = 0; i < N; ++i) {
            seen[p[i]] = true;
            ++at_place[i * N + p[i]];
            if (i > 0) ++differences[((p[i] - p[i - 1]) & (N - 1)) - 1];
        }
        for (i32 i = 0; i < N; ++i) CHECK(seen[i]);
    }
    // (N - 1) / N times the statistic has (N - 1)^2 degrees of freedom, as rows and columns of the table have fixed
    // sums: mean (N - 1)^2, variance twice that. Five standard deviations to either side.
    const double degrees = (N - 1.0) * (N - 1.0);
    const double places = chi_square(at_place, DRAWN / (double)N) * (N - 1) / N;
    CHECK(std::fabs(places - degrees) < 5 * std::sqrt(2 * degrees));
    // Neighbours differ by each of 1..N - 1 equally often: N - 2 degrees of freedom.
    const double steps = chi_square(differences, DRAWN * (N - 1.0) / (N - 1.0));
    CHECK(std::fabs(steps - (N - 2)) < 5 * std::sqrt(2.0 * (N - 2)));
}

void offsets_of_octaves_are_uniform() {
    std::vector<i32> x(N), y(N), z(N);
    for (i32 n = 0; n < DRAWN; ++n)
        for (i32 octave = 0; octave < 4; ++octave) {
            const LatticeOffset offset = lattice_offset(5, (u64)n, octave);
            ++x[offset.x];
            ++y[offset.y];
            ++z[offset.z];
        }
    for (const std::vector<i32>& counts : {x, y, z})
        CHECK(std::fabs(chi_square(counts, 4.0 * DRAWN / N) - (N - 1)) < 5 * std::sqrt(2.0 * (N - 1)));
}

}  // namespace

int main() {
    values_are_uniform_over_places();
    offsets_of_octaves_are_uniform();
    return plr_test::report();
}

// The small tables behind one noise call: coordinates per row and column, gradients per octave. Made once per call on
// the host, in float64, each value rounded once.
#ifndef PLR_CPU_NOISE_TABLES_H
#define PLR_CPU_NOISE_TABLES_H

#include <array>
#include <vector>

#include "../core/noise.h"

namespace plr {

struct NoiseSettings {
    std::array<double, 3> cells;  // z, y, x; z is unused in the plane
    i32 octaves;
    double persistence, lacunarity;
    bool tileable;
};

// Owns the tables that `params()` points into.
class NoiseTables {
  public:
    // `shape` names everything but octave: it is completed here.
    NoiseTables(const NoiseParams& shape, const NoiseSettings& settings);
    NoiseTables(const NoiseTables&) = delete;
    NoiseTables& operator=(const NoiseTables&) = delete;

    const NoiseParams& params() const { return params_; }

  private:
    struct AxisTable {
        std::vector<i32> slot, lattice;
        std::vector<float> d, dm, s, sd;
        AxisTable(i64 n, double frequency, bool tileable);
        Axis view() const;
    };
    struct OctaveTable {
        AxisTable z, y, x;
        std::array<float, LATTICE_PERIOD> gx, gy, gz;
        OctaveTable(const NoiseParams& shape, const std::array<double, 3>& frequency, bool tileable, double scale);
    };

    NoiseParams params_;
    std::vector<OctaveTable> tables_;
    std::vector<Octave> octaves_;
};

}  // namespace plr

#endif

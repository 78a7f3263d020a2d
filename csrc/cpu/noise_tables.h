// The small tables behind a noise call: coordinates per row and column, gradients per octave. Made on the host, in
// float64, each value rounded once.
#ifndef PLR_CPU_NOISE_TABLES_H
#define PLR_CPU_NOISE_TABLES_H

#include <array>
#include <memory>
#include <vector>

#include "../core/noise.h"

namespace plr {

// All that the tables depend on.
struct NoiseSettings {
    std::array<double, 3> cells;  // along depth, height, width; the first is unused in the plane
    i32 octaves;
    double persistence, lacunarity;
    bool tileable;
    i32 dims = 2;                           // 2 or 3
    std::array<i64, 3> size = {1, 1, 1};    // depth, height, width

    bool operator==(const NoiseSettings& other) const {
        return dims == other.dims && size == other.size && cells == other.cells && octaves == other.octaves &&
               persistence == other.persistence && lacunarity == other.lacunarity && tileable == other.tileable;
    }
};

// Owns the tables that `params()` points into.
class NoiseTables {
  public:
    explicit NoiseTables(const NoiseSettings& settings);
    NoiseTables(const NoiseTables&) = delete;
    NoiseTables& operator=(const NoiseTables&) = delete;

    // The tables for these settings; a thread keeps the few it used last, because small calls cost less than the tables.
    static std::shared_ptr<const NoiseTables> get(const NoiseSettings& settings);

    // Dimensions, sizes, octaves and tables; the rest is the caller's: seed, format, strides, pieces.
    const NoiseParams& params() const { return params_; }

  private:
    struct AxisTable {
        std::vector<i32> slot, run_end, lattice;
        std::vector<float> d, dm, s, sd;
        bool near = true;
        AxisTable(i64 n, double frequency, bool tileable);
        Axis view() const;
    };
    struct OctaveTable {
        AxisTable z, y, x;
        std::array<float, LATTICE_PERIOD> gx, gy, gz;
        OctaveTable(const NoiseSettings& settings, const std::array<double, 3>& frequency, double scale);
    };

    u64 bytes() const;

    NoiseSettings settings_;
    NoiseParams params_ = {};
    std::vector<OctaveTable> tables_;
    std::vector<Octave> octaves_;
    std::vector<float> factors_;
};

}  // namespace plr

#endif

#include "noise_tables.h"

#include <cmath>

#include "../core/gradients.h"

namespace plr {

NoiseTables::AxisTable::AxisTable(i64 n, double frequency, bool tileable) : slot(n), d(n), dm(n), s(n), sd(n) {
    const i64 period = tileable ? (i64)frequency : 0;
    const auto wrapped = [&](i64 line) { return (i32)((tileable ? line % period : line) % LATTICE_PERIOD); };
    i64 newest = -2;  // lattice line of the last entry
    for (i64 p = 0; p < n; ++p) {
        const double at = (double)p * frequency / (double)n;
        const i64 line = (i64)at;
        // Pixels of one cell share two entries; where cells are narrower than a pixel, only the lines in use are listed.
        if (line != newest - 1) {
            if (line != newest) lattice.push_back(wrapped(line));
            lattice.push_back(wrapped(line + 1));
            newest = line + 1;
        }
        const double t = at - (double)line;
        slot[p] = (i32)lattice.size() - 2;
        d[p] = (float)t;
        dm[p] = (float)(t - 1.0);
        s[p] = (float)fade(t);
        sd[p] = (float)(fade(t) * t);
    }
}

Axis NoiseTables::AxisTable::view() const {
    return {(i32)slot.size(), (i32)lattice.size(), slot.data(), lattice.data(), d.data(), dm.data(), s.data(), sd.data()};
}

NoiseTables::OctaveTable::OctaveTable(const NoiseParams& shape, const std::array<double, 3>& frequency, bool tileable,
                                      double scale)
    : z(shape.depth, frequency[0], tileable),
      y(shape.height, frequency[1], tileable),
      x(shape.width, frequency[2], tileable),
      gx{},
      gy{},
      gz{} {
    for (i32 k = 0; k < LATTICE_PERIOD; ++k) {
        double vx, vy, vz = 0.0;
        if (shape.dims == 2) {
            gradient_2d(k, &vx, &vy);
        } else {
            const double height = 1.0 - (2 * k + 1) / 256.0;
            gradient_3d(k, std::sqrt(1.0 - height * height), &vx, &vy, &vz);
        }
        gx[k] = (float)(vx * scale);
        gy[k] = (float)(vy * scale);
        gz[k] = (float)(vz * scale);
    }
}

NoiseTables::NoiseTables(const NoiseParams& shape, const NoiseSettings& settings) : params_(shape) {
    double amplitude = 1.0, total = 0.0;
    for (i32 o = 0; o < settings.octaves; ++o) {
        total += amplitude;
        amplitude *= settings.persistence;
    }
    // The margin keeps the last rounding from stepping over +-1, which would wrap around in uint8.
    const double margin = 1.0 + 1.0 / 1048576.0;
    const double bound = std::sqrt((double)shape.dims) / 2.0 * total * margin;

    std::array<double, 3> frequency = settings.cells;
    amplitude = 1.0;
    tables_.reserve(settings.octaves);
    for (i32 o = 0; o < settings.octaves; ++o) {
        tables_.emplace_back(shape, frequency, settings.tileable, amplitude / bound);
        amplitude *= settings.persistence;
        for (double& f : frequency) f *= settings.lacunarity;
    }
    for (const OctaveTable& t : tables_)
        octaves_.push_back({t.z.view(), t.y.view(), t.x.view(), t.gx.data(), t.gy.data(), t.gz.data()});
    params_.octaves = settings.octaves;
    params_.octave = octaves_.data();
}

}  // namespace plr

#include "noise_tables.h"

#include <algorithm>
#include <cmath>

#include "../core/gradients.h"

namespace plr {
namespace {

struct UnitGradients {
    std::array<double, LATTICE_PERIOD> x, y, z;

    explicit UnitGradients(i32 dims) : x{}, y{}, z{} {
        for (i32 k = 0; k < LATTICE_PERIOD; ++k) {
            if (dims == 2) {
                gradient_2d(k, &x[k], &y[k]);
            } else {
                const double height = gradient_height(k);
                gradient_3d(k, std::sqrt(1.0 - height * height), &x[k], &y[k], &z[k]);
            }
        }
    }
};

const UnitGradients& unit_gradients(i32 dims) {
    static const UnitGradients plane(2), space(3);
    return dims == 2 ? plane : space;
}

}  // namespace

NoiseTables::AxisTable::AxisTable(i64 n, double frequency, bool tileable) {
    for (std::vector<float>* table : {&d, &dm, &s, &sd}) table->resize(n + AXIS_PADDING);
    slot.resize(n + AXIS_PADDING);
    const auto wrapped = [&](i64 line) { return wrapped_line(line, frequency, tileable); };
    i64 newest = -2;  // lattice line of the last entry
    for (i64 p = 0; p < n; ++p) {
        const auto [line, t] = lattice_position(p, frequency, n);
        // Pixels of one cell share two entries; where cells are narrower than a pixel, only the lines in use are listed.
        if (line != newest - 1) {
            if (line != newest) lattice.push_back(wrapped(line));
            lattice.push_back(wrapped(line + 1));
            newest = line + 1;
        }
        slot[p] = (i32)lattice.size() - 2;
        d[p] = (float)t;
        dm[p] = (float)(t - 1.0);
        s[p] = (float)fade(t);
        sd[p] = (float)(fade(t) * t);
        near = near && slot[p] - slot[std::max<i64>(0, p - 7)] <= 6;
    }
    std::fill(slot.begin() + n, slot.end(), slot[n - 1]);
    run_end.resize(n);
    for (i64 p = n; p-- > 0;) run_end[p] = p + 1 < n && slot[p + 1] == slot[p] ? run_end[p + 1] : (i32)p + 1;
}

Axis NoiseTables::AxisTable::view() const {
    return {(i32)slot.size() - AXIS_PADDING, (i32)lattice.size(), near, slot.data(), run_end.data(), lattice.data(),
            d.data(), dm.data(), s.data(), sd.data()};
}

NoiseTables::OctaveTable::OctaveTable(const NoiseSettings& settings, const std::array<double, 3>& frequency, double scale)
    : z(settings.size[0], frequency[0], settings.tileable),
      y(settings.size[1], frequency[1], settings.tileable),
      x(settings.size[2], frequency[2], settings.tileable) {
    const UnitGradients& unit = unit_gradients(settings.dims);
    for (i32 k = 0; k < LATTICE_PERIOD; ++k) {
        gx[k] = (float)(unit.x[k] * scale);
        gy[k] = (float)(unit.y[k] * scale);
        gz[k] = (float)(unit.z[k] * scale);
    }
}

NoiseTables::NoiseTables(const NoiseSettings& settings) : settings_(settings) {
    double amplitude = 1.0, total = 0.0;
    for (i32 o = 0; o < settings.octaves; ++o) {
        total += amplitude;
        amplitude *= settings.persistence;
    }
    // The margin keeps the last rounding from stepping over +-1, which would wrap around in uint8.
    const double margin = 1.0 + 1.0 / 1048576.0;
    const double bound = std::sqrt((double)settings.dims) / 2.0 * total * margin;

    std::array<double, 3> frequency = settings.cells;
    amplitude = 1.0;
    tables_.reserve(settings.octaves);
    for (i32 o = 0; o < settings.octaves; ++o) {
        tables_.emplace_back(settings, frequency, amplitude / bound);
        amplitude *= settings.persistence;
        for (double& f : frequency) f *= settings.lacunarity;
    }
    for (const OctaveTable& t : tables_)
        octaves_.push_back({t.z.view(), t.y.view(), t.x.view(), t.gx.data(), t.gy.data(), t.gz.data()});
    factors_.reserve(3 * settings.octaves * settings.size[1]);
    for (i64 row = 0; row < settings.size[1]; ++row)
        for (const OctaveTable& t : tables_) factors_.insert(factors_.end(), {t.y.d[row], t.y.s[row], t.y.sd[row]});

    params_.dims = settings.dims;
    params_.depth = settings.size[0];
    params_.height = settings.size[1];
    params_.width = settings.size[2];
    params_.octaves = settings.octaves;
    params_.pieces = 1;
    params_.octave = octaves_.data();
    params_.factors = factors_.data();
}

u64 NoiseTables::bytes() const {
    const std::array<i64, 3>& size = settings_.size;
    return (u64)settings_.octaves * (32 * (u64)(size[0] + size[1] + size[2]) + 4096);
}

std::shared_ptr<const NoiseTables> NoiseTables::get(const NoiseSettings& settings) {
    // By thread, not behind a lock: a lock held by another thread at a fork would never open in the child.
    enum { KEPT = 4, LARGEST = 1 << 20 };
    thread_local std::vector<std::shared_ptr<const NoiseTables>> kept;  // the latest first
    for (size_t i = 0; i < kept.size(); ++i)
        if (kept[i]->settings_ == settings) {
            std::rotate(kept.begin(), kept.begin() + (std::ptrdiff_t)i, kept.begin() + (std::ptrdiff_t)i + 1);
            return kept.front();
        }
    auto made = std::make_shared<const NoiseTables>(settings);
    if (made->bytes() <= LARGEST) {
        kept.insert(kept.begin(), made);
        if (kept.size() > KEPT) kept.pop_back();
    }
    return made;
}

}  // namespace plr

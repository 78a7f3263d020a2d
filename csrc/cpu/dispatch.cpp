#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace plr {

#define PLR_DECLARE_TIER(name) \
    namespace name {           \
    extern const Kernels kernels; \
    }
#if defined(PLR_X86_TIERS)
PLR_DECLARE_TIER(avx512)
PLR_DECLARE_TIER(avx2)
#endif
PLR_DECLARE_TIER(baseline)

namespace {

std::atomic<const Kernels*> chosen{nullptr};

const Kernels& find(const std::string& name) {
    std::string known;
    for (const Tier& tier : tiers()) {
        known += std::string(known.empty() ? "" : ", ") + tier.kernels->name;
        if (name.empty() ? !tier.supported : name != tier.kernels->name) continue;
        if (!tier.supported)
            throw std::invalid_argument("instruction set '" + name + "' needs " + tier.needs +
                                        ", which this CPU does not have");
        return *tier.kernels;
    }
    throw std::invalid_argument("unknown instruction set '" + name + "': this build has " + known);
}

}  // namespace

const std::vector<Tier>& tiers() {
    static const std::vector<Tier> all = [] {
        std::vector<Tier> list;
#if defined(PLR_X86_TIERS)
        __builtin_cpu_init();
        const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
        list.push_back({&avx512::kernels, "AVX-512 F, BW, DQ and VL", avx512});
        list.push_back({&avx2::kernels, "AVX2 and FMA", avx2});
#endif
        list.push_back({&baseline::kernels, "nothing", true});
        return list;
    }();
    return all;
}

const Kernels& kernels() {
    const Kernels* current = chosen.load(std::memory_order_acquire);
    if (current == nullptr) {
        const char* pinned = std::getenv("PLR_FAST_ISA");
        try {
            current = &find(pinned == nullptr ? "" : pinned);
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument(std::string("PLR_FAST_ISA: ") + error.what());
        }
        chosen.store(current, std::memory_order_release);
    }
    return *current;
}

void select_tier(const std::string& name) { chosen.store(&find(name), std::memory_order_release); }

}  // namespace plr

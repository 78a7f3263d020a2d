// Which instruction set runs. Chosen once, at the first call: the best that this CPU has, or the one that the
// environment variable PLR_FAST_ISA names.
#ifndef PLR_CPU_DISPATCH_H
#define PLR_CPU_DISPATCH_H

#include <string>
#include <vector>

#include "kernels.h"

namespace plr {

struct Tier {
    const Kernels* kernels;
    const char* needs;   // what the CPU must have, for messages
    bool supported;      // by this CPU
};

// All tiers in this build, best first. The last one runs everywhere.
const std::vector<Tier>& tiers();

// The kernels in use. Throws std::invalid_argument if PLR_FAST_ISA names a tier that is absent or unsupported.
const Kernels& kernels();

// Use the tier of that name from now on; "" goes back to the best. Throws as above.
void select_tier(const std::string& name);

}  // namespace plr

#endif

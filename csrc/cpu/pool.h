// A small thread pool. Not OpenMP: its runtimes hang after fork and clash with torch's own.
//
// - parallel_for may be called from any number of threads; one call at a time gets the workers, others run by
//   themselves on the thread they are on.
// - After fork the child has no workers and makes its own on first use.
// - Workers are never joined: at process exit they are asleep, and a joining destructor could wait for ever.
#ifndef PLR_CPU_POOL_H
#define PLR_CPU_POOL_H

#include <functional>

#include "../core/platform.h"

namespace plr {

// Calls body(first, last) on disjoint ranges that cover [0, count), on at most `threads` threads including this one.
// Returns the first non-zero status that a range returned, else 0. `body` must not throw.
int parallel_for(i64 count, int threads, const std::function<int(i64 first, i64 last)>& body);

}  // namespace plr

#endif

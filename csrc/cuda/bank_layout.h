// Layouts of the parameters in bank_kernels.h, for the test that compares them with Python's.
#ifndef PLR_CUDA_BANK_LAYOUT_H
#define PLR_CUDA_BANK_LAYOUT_H

#include "bank_kernels.h"
#include "units.h"

namespace plr {
namespace cuda {

inline std::vector<Layout> bank_layouts() {
    using A = CandidateParams;
    using C = CutParams;
    using P = PickParams;
    return {
        {"CandidateParams",
         sizeof(A),
         {PLR_FIELD(A, seed), PLR_FIELD(A, ids), PLR_FIELD(A, images), PLR_FIELD(A, count), PLR_FIELD(A, rows),
          PLR_FIELD(A, columns), PLR_FIELD(A, low), PLR_FIELD(A, high), PLR_FIELD(A, first_round), PLR_FIELD(A, rounds),
          PLR_FIELD(A, whole), PLR_FIELD(A, out)}},
        {"CutParams",
         sizeof(C),
         {PLR_FIELD(C, images), PLR_FIELD(C, rows), PLR_FIELD(C, columns), PLR_FIELD(C, boxes), PLR_FIELD(C, offsets),
          PLR_FIELD(C, found), PLR_FIELD(C, out)}},
        {"PickParams",
         sizeof(P),
         {PLR_FIELD(P, candidates), PLR_FIELD(P, ids), PLR_FIELD(P, images), PLR_FIELD(P, rounds),
          PLR_FIELD(P, first_round), PLR_FIELD(P, all_images), PLR_FIELD(P, wanted), PLR_FIELD(P, threshold),
          PLR_FIELD(P, count_blocks), PLR_FIELD(P, counts), PLR_FIELD(P, grey), PLR_FIELD(P, found),
          PLR_FIELD(P, orders), PLR_FIELD(P, boxes), PLR_FIELD(P, offsets)}},
    };
}

}  // namespace cuda
}  // namespace plr

#endif

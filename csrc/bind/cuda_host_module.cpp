// plr_fast._cuda_host: the kernels of csrc/cuda run by the host launcher, for tests on machines without a GPU. It is
// built for development only, and is no backend.

#include <pybind11/stl.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "cuda_tables.h"
#include "gil.h"

namespace plr {
namespace bind {
namespace {

const KernelTable& table() {
#define PLR_UNIT_OF(unit) {#unit, {PLR_KERNELS_##unit(PLR_HOST_ROW)}},
    static const KernelTable made({PLR_UNITS(PLR_UNIT_OF)});
    return made;
}

void launch(const std::string& name, std::array<u32, 3> grid, const py::buffer& params, int, u64,
            bool backwards) {
    const py::buffer_info given = params.request();
    const size_t bytes = (size_t)(given.size * given.itemsize);
    const cuda::Kernel& kernel = table().find(name, bytes);
    std::vector<std::max_align_t> aligned(bytes / sizeof(std::max_align_t) + 1);
    std::memcpy(aligned.data(), given.ptr, bytes);
    ReleasedGil released;
    ((cuda::HostFunction*)kernel.function)(grid[0], grid[1], grid[2], aligned.data(), backwards);
}

PYBIND11_MODULE(_cuda_host, m) {
    m.doc() = "The CUDA kernels of plr_fast on the host, for tests; pointers are of host memory.";
    m.def("kernels", [] { return table().describe(); }, "name -> (unit, threads of a block, bytes of the parameters)");
    m.def("layouts", &layouts, "name of a structure -> (bytes, {field: (offset, bytes)})");
    m.def("launch", &launch, py::arg("name"), py::arg("grid"), py::arg("params"), py::arg("device"), py::arg("stream"),
          py::arg("backwards") = false,
          "Run every block and thread of a kernel, from the first or from the last on; device and stream are not looked at.");
}

}  // namespace
}  // namespace bind
}  // namespace plr

// What Python knows of the kernels: their names, threads, and the layout of their parameters. A unit is a .cu file, which
// nvcc compiles for plr_fast._cuda and NVRTC at run time; the host launcher includes the headers of all units.
//
// A unit u has three parts: u_kernels.h with the kernels and the list PLR_KERNELS_u(X) of X(name, struct), u_layout.h with
// the fields of their parameters (host only), and u.cu. To add one, name it in PLR_UNITS and in CMakeLists.txt.
#ifndef PLR_CUDA_UNITS_H
#define PLR_CUDA_UNITS_H

#include <cstddef>
#include <vector>

#include "../core/platform.h"

#define PLR_UNITS(X) X(noise) X(mask) X(paste) X(filters) X(bank) X(fresh) X(clouds)

namespace plr {
namespace cuda {

struct Kernel {
    const char* name;
    const void* function;  // of CUDA: the address of the __global__ function; on the host: HostFunction*
    u32 threads;
    u32 params;  // bytes
};

typedef void HostFunction(u32 grid_x, u32 grid_y, u32 grid_z, const void* params, bool backwards);

struct Unit {
    const char* name;
    std::vector<Kernel> kernels;
};

struct Field {
    const char* name;
    size_t offset, bytes;
};

// A structure that Python fills in, by the name that it has there.
struct Layout {
    const char* name;
    size_t bytes;
    std::vector<Field> fields;
};

#define PLR_FIELD(type, name) {#name, offsetof(type, name), sizeof(type::name)}

// One row of the list PLR_KERNELS_u.
#define PLR_DEVICE_ROW(name, ...) \
    {#name, (const void*)plr_##name, __VA_ARGS__::threads, (plr::u32)sizeof(__VA_ARGS__::Params)},
#define PLR_HOST_ROW(name, ...)                                          \
    {#name, (const void*)(plr::cuda::HostFunction*)plr::cuda::run_on_host<__VA_ARGS__>, __VA_ARGS__::threads, \
     (plr::u32)sizeof(__VA_ARGS__::Params)},

}  // namespace cuda
}  // namespace plr

#endif

// plr_fast._cuda: launches the kernels of csrc/cuda. Everything else about them (memory, grids, order) is decided in Python,
// for all launchers alike. Nothing here waits for the GPU, and importing it needs neither a GPU nor a driver.

#include <cuda_runtime.h>
#include <pybind11/stl.h>

#include <array>

#include "cuda_tables.h"
#include "gil.h"

// From the .cu files.
#define PLR_DECLARE(unit) plr::cuda::Unit plr_unit_##unit();
PLR_UNITS(PLR_DECLARE)

namespace plr {
namespace bind {
namespace {

const KernelTable& table() {
#define PLR_UNIT_OF(unit) plr_unit_##unit(),
    static const KernelTable made({PLR_UNITS(PLR_UNIT_OF)});
    return made;
}

std::string mend(cudaError_t error) {
    switch (error) {
        case cudaErrorInsufficientDriver: {
            int driver = 0;
            (void)cudaDriverGetVersion(&driver);
            if (driver == 0) return "; no NVIDIA driver is installed here, or this process cannot see it";
            return "; install a newer NVIDIA driver, or build plr_fast with an older CUDA toolkit";
        }
        case cudaErrorNoDevice: return "; the driver sees no GPU: look at nvidia-smi and CUDA_VISIBLE_DEVICES";
        case cudaErrorNoKernelImageForDevice:
            return "; rebuild plr_fast with CMAKE_CUDA_ARCHITECTURES set to this GPU's, or install CuPy";
        default: return "";
    }
}

void check(cudaError_t error, const std::string& what) {
    if (error == cudaSuccess) return;
    (void)cudaGetLastError();  // errors of calls that fail at once are not to be found again by the next call
    throw std::runtime_error(what + ": " + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ")" + mend(error));
}

// The device of a launch, for as long as it takes.
class DeviceGuard {
  public:
    explicit DeviceGuard(int device) {
        check(cudaGetDevice(&before_), "finding the current CUDA device");
        if (device == before_) return;
        check(cudaSetDevice(device), "choosing CUDA device " + std::to_string(device));
        changed_ = true;
    }
    ~DeviceGuard() {
        if (changed_) (void)cudaSetDevice(before_);
    }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

  private:
    int before_ = 0;
    bool changed_ = false;
};

void launch(const std::string& name, std::array<u32, 3> grid, const py::buffer& params, int device, u64 stream) {
    const py::buffer_info given = params.request();
    const cuda::Kernel& kernel = table().find(name, (size_t)(given.size * given.itemsize));
    const DeviceGuard guard(device);
    void* arguments[] = {given.ptr};
    cudaError_t error;
    {
        ReleasedGil released;  // the launch waits where the stream's queue is full
        error = cudaLaunchKernel(kernel.function, dim3(grid[0], grid[1], grid[2]), dim3(kernel.threads), arguments, 0,
                                 reinterpret_cast<cudaStream_t>(stream));
    }
    check(error, "launching " + name);
}

int device_count() {
    int count = 0;
    check(cudaGetDeviceCount(&count), "counting CUDA devices");
    return count;
}

int attribute(cudaDeviceAttr which, int device) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, device), "asking CUDA device " + std::to_string(device));
    return value;
}

// Name, compute capability, multiprocessors of a device.
py::tuple device(int number) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, number), "asking CUDA device " + std::to_string(number));
    return py::make_tuple(py::str(properties.name), py::make_tuple(properties.major, properties.minor),
                          properties.multiProcessorCount);
}

py::tuple versions() {
    int driver = 0;
    check(cudaDriverGetVersion(&driver), "asking for the version of the CUDA driver");
    return py::make_tuple(driver, CUDART_VERSION);
}

// Registers and bytes of local and shared memory of a kernel, on the current device.
py::tuple attributes(const std::string& name) {
    py::dict rows = table().describe();
    if (!rows.contains(name)) throw py::key_error("no kernel is named " + name);
    const size_t bytes = rows[name.c_str()].cast<py::tuple>()[2].cast<size_t>();
    cudaFuncAttributes found;
    check(cudaFuncGetAttributes(&found, table().find(name, bytes).function), "asking for kernel " + name);
    return py::make_tuple(found.numRegs, found.localSizeBytes, found.sharedSizeBytes);
}

PYBIND11_MODULE(_cuda, m) {
    m.doc() = "CUDA kernels of plr_fast; call them through plr_fast, which validates, allocates and plans.";
    m.attr("__version__") = PLR_VERSION;
    m.attr("architectures") = PLR_CUDA_ARCHITECTURES;
    m.def("kernels", [] { return table().describe(); }, "name -> (unit, threads of a block, bytes of the parameters)");
    m.def("layouts", &layouts, "name of a structure -> (bytes, {field: (offset, bytes)})");
    m.def("launch", &launch, py::arg("name"), py::arg("grid"), py::arg("params"), py::arg("device"), py::arg("stream"),
          "Launch a kernel on a device's stream, and return at once.");
    m.def("device_count", &device_count, "How many CUDA devices there are.");
    m.def("multiprocessors", [](int device) { return attribute(cudaDevAttrMultiProcessorCount, device); },
          py::arg("device"), "How many multiprocessors a device has.");
    m.def("device", &device, py::arg("device"), "Name, compute capability, multiprocessors of a device.");
    m.def("versions", &versions, "CUDA version of the driver (0: none) and of the runtime, as 1000 * major + 10 * minor.");
    m.def("attributes", &attributes, py::arg("name"),
          "Registers per thread, bytes of local memory per thread and of shared memory per block.");
}

}  // namespace
}  // namespace bind
}  // namespace plr

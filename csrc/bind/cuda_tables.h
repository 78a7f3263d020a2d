// What both modules of kernels tell Python about them: names, threads, and layouts of parameters.
#ifndef PLR_BIND_CUDA_TABLES_H
#define PLR_BIND_CUDA_TABLES_H

#include <pybind11/pybind11.h>

#include <string>
#include <unordered_map>

#include "../cuda/bank_layout.h"
#include "../cuda/clouds_layout.h"
#include "../cuda/filters_layout.h"
#include "../cuda/fresh_layout.h"
#include "../cuda/mask_layout.h"
#include "../cuda/noise_layout.h"
#include "../cuda/paste_layout.h"
#include "../cuda/units.h"

namespace plr {
namespace bind {

namespace py = pybind11;

class KernelTable {
  public:
    explicit KernelTable(const std::vector<cuda::Unit>& units) {
        for (const cuda::Unit& unit : units)
            for (const cuda::Kernel& kernel : unit.kernels) kernels_.emplace(kernel.name, Entry{kernel, unit.name});
    }

    // The kernel of that name, once the parameters are known to be as long as its own.
    const cuda::Kernel& find(const std::string& name, size_t bytes) const {
        const auto found = kernels_.find(name);
        if (found == kernels_.end()) throw py::key_error("no kernel is named " + name);
        const cuda::Kernel& kernel = found->second.kernel;
        if (kernel.params != bytes)
            throw py::value_error("the parameters of " + name + " have " + std::to_string(kernel.params) +
                                  " bytes, not " + std::to_string(bytes) +
                                  ": this module was built from other sources, reinstall plr_fast");
        return kernel;
    }

    // name -> (unit, threads of a block, bytes of the parameters)
    py::dict describe() const {
        py::dict rows;
        for (const auto& [name, entry] : kernels_)
            rows[name.c_str()] = py::make_tuple(entry.unit, entry.kernel.threads, entry.kernel.params);
        return rows;
    }

  private:
    struct Entry {
        cuda::Kernel kernel;
        const char* unit;
    };
    std::unordered_map<std::string, Entry> kernels_;
};

// name of a structure -> (bytes, {field: (offset, bytes)})
inline py::dict layouts() {
    py::dict rows;
#define PLR_ADD(unit)                                                                                \
    for (const cuda::Layout& layout : cuda::unit##_layouts()) {                                      \
        py::dict fields;                                                                             \
        for (const cuda::Field& f : layout.fields) fields[f.name] = py::make_tuple(f.offset, f.bytes); \
        rows[layout.name] = py::make_tuple(layout.bytes, fields);                                    \
    }
    PLR_UNITS(PLR_ADD)
#undef PLR_ADD
    return rows;
}

}  // namespace bind
}  // namespace plr

#endif

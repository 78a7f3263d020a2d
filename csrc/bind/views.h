// Checked views of NumPy arrays: what the kernels get as bare pointers is verified here, and the messages carry the
// names of the arguments.
#ifndef PLR_BIND_VIEWS_H
#define PLR_BIND_VIEWS_H

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <vector>

namespace plr {
namespace bind {

namespace py = pybind11;

inline std::string shape_text(const py::array& array) {
    std::string text = "(";
    for (py::ssize_t i = 0; i < array.ndim(); ++i) text += (i ? ", " : "") + std::to_string(array.shape(i));
    return text + ")";
}

inline void require_rank(const py::array& array, const char* name, py::ssize_t rank) {
    if (array.ndim() != rank)
        throw py::value_error(std::string(name) + " must have " + std::to_string(rank) + " dimensions, not shape " +
                              shape_text(array));
}

inline void require_shape(const py::array& array, const char* name, const std::vector<py::ssize_t>& shape) {
    bool same = array.ndim() == (py::ssize_t)shape.size();
    for (py::ssize_t i = 0; same && i < array.ndim(); ++i) same = array.shape(i) == shape[i];
    if (same) return;
    std::string wanted = "(";
    for (size_t i = 0; i < shape.size(); ++i) wanted += (i ? ", " : "") + std::to_string(shape[i]);
    throw py::value_error(std::string(name) + " must have shape " + wanted + "), not " + shape_text(array));
}

inline void require_contiguous(const py::array& array, const char* name) {
    if (!(array.flags() & py::array::c_style)) throw py::value_error(std::string(name) + " must be C-contiguous");
}

template <typename T>
const T* input(const py::array& array, const char* name) {
    if (!py::isinstance<py::array_t<T>>(array))
        throw py::type_error(std::string(name) + " must have dtype " +
                             py::str(py::dtype::of<T>()).template cast<std::string>() + ", not " +
                             py::str(array.dtype()).template cast<std::string>());
    require_contiguous(array, name);
    return static_cast<const T*>(array.data());
}

template <typename T>
T* output(py::array& array, const char* name) {
    input<T>(array, name);
    return static_cast<T*>(array.mutable_data());  // raises ValueError when the array is read-only
}

}  // namespace bind
}  // namespace plr

#endif

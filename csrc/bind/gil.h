// The GIL released while a kernel runs, in a way that survives the end of the interpreter.
//
// A daemon thread may still be computing when Python shuts down. Before Python 3.14, a thread that then asks for the GIL
// is ended by pthread_exit. glibc unwinds its stack, and unwinding out of a destructor (that of py::gil_scoped_release)
// is std::terminate: the whole process would abort on its way out. Here such a thread stays asleep until the process is
// gone, as Python 3.14 does it.
#ifndef PLR_BIND_GIL_H
#define PLR_BIND_GIL_H

#include <pybind11/pybind11.h>
#include <unistd.h>

namespace plr {
namespace bind {

class ReleasedGil {
  public:
    ReleasedGil() : state_(PyEval_SaveThread()) {}
    ~ReleasedGil() {
        try {
            PyEval_RestoreThread(state_);
        } catch (...) {  // pthread_exit's unwinding, nothing else: a function of C throws no exceptions
            for (;;) pause();
        }
    }
    ReleasedGil(const ReleasedGil&) = delete;
    ReleasedGil& operator=(const ReleasedGil&) = delete;

  private:
    PyThreadState* state_;
};

}  // namespace bind
}  // namespace plr

#endif

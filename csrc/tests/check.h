// The smallest test harness that reports what it found: CHECK counts failures, report() is main's return value.
#ifndef PLR_TESTS_CHECK_H
#define PLR_TESTS_CHECK_H

#include <cstdio>

namespace plr_test {

inline int& failures() {
    static int count = 0;
    return count;
}

inline int report() {
    if (failures() == 0) std::puts("ok");
    return failures() == 0 ? 0 : 1;
}

}  // namespace plr_test

#define CHECK(condition)                                                           \
    do {                                                                           \
        if (!(condition)) {                                                        \
            std::printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);    \
            ++plr_test::failures();                                                \
        }                                                                          \
    } while (false)

#endif

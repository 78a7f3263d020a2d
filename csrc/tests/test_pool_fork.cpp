// The pool in forked processes, where its threads are gone and its locks stand as they stood.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "../cpu/pool.h"
#include "check.h"

#if defined(__SANITIZE_THREAD__)
#define PLR_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PLR_THREAD_SANITIZER 1
#endif
#endif
#ifndef PLR_THREAD_SANITIZER
#define PLR_THREAD_SANITIZER 0
#endif

using namespace plr;

namespace {

i64 sum_in_parallel() {
    std::atomic<i64> sum{0};
    parallel_for(500, 4, [&](i64 first, i64 last) {
        for (i64 i = first; i < last; ++i) sum += i;
        return 0;
    });
    return sum;
}

// Status of a child that works with a pool of its own, and whose own child does so too; 0 if all went well.
int status_of_child(int generations) {
    const pid_t child = fork();
    if (child == 0) {
        bool right = sum_in_parallel() == 124750;
        if (generations > 1) right = status_of_child(generations - 1) == 0 && right;
        _exit(right ? 0 : 1);
    }
    int status = -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}

void works_after_fork() {
    CHECK(sum_in_parallel() == 124750);  // the parent has its workers now
    CHECK(status_of_child(1) == 0);
    CHECK(status_of_child(3) == 0);
    CHECK(sum_in_parallel() == 124750);
}

// The child gets the pool's locks as they stand at that moment, some of them held by threads it does not have.
// ThreadSanitizer's own book of threads ("dup thread with used id") stands no new threads in such a child.
[[maybe_unused]] void works_after_fork_in_the_middle_of_work() {
    std::atomic<bool> over{false};
    std::atomic<int> wrong{0};
    std::vector<std::thread> busy;
    for (int i = 0; i < 2; ++i)
        busy.emplace_back([&] {
            while (!over)
                if (sum_in_parallel() != 124750) ++wrong;
        });
    for (int i = 0; i < 100; ++i) CHECK(status_of_child(1) == 0);
    over = true;
    for (std::thread& thread : busy) thread.join();
    CHECK(wrong == 0);
}

}  // namespace

int main() {
    works_after_fork();
    if (!PLR_THREAD_SANITIZER) works_after_fork_in_the_middle_of_work();
    return plr_test::report();
}

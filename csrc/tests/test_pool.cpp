#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "../cpu/pool.h"
#include "check.h"

using namespace plr;

namespace {

void covers_every_index_once() {
    for (i64 count : {0, 1, 2, 7, 64, 1000})
        for (int threads : {1, 2, 3, 8}) {
            std::vector<std::atomic<int>> hits(count);
            const int status = parallel_for(count, threads, [&](i64 first, i64 last) {
                for (i64 i = first; i < last; ++i) ++hits[i];
                return 0;
            });
            CHECK(status == 0);
            for (i64 i = 0; i < count; ++i) CHECK(hits[i] == 1);
        }
}

void passes_a_status_on() {
    CHECK(parallel_for(100, 4, [](i64 first, i64) { return first == 0 ? 5 : 0; }) == 5);
    CHECK(parallel_for(1, 1, [](i64, i64) { return 3; }) == 3);
}

i64 sum_in_parallel() {
    std::atomic<i64> sum{0};
    parallel_for(500, 4, [&](i64 first, i64 last) {
        for (i64 i = first; i < last; ++i) sum += i;
        return 0;
    });
    return sum;
}

void serves_many_callers_at_once() {
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int c = 0; c < 16; ++c)
        callers.emplace_back([&] {
            for (int i = 0; i < 50; ++i)
                if (sum_in_parallel() != 124750) ++wrong;
        });
    for (std::thread& caller : callers) caller.join();
    CHECK(wrong == 0);
}

void nested_calls_finish() {
    std::atomic<int> inner{0};
    parallel_for(8, 4, [&](i64 first, i64 last) {
        for (i64 i = first; i < last; ++i)
            parallel_for(4, 4, [&](i64 a, i64 b) {
                inner += (int)(b - a);
                return 0;
            });
        return 0;
    });
    CHECK(inner == 32);
}

void works_after_fork() {
    CHECK(sum_in_parallel() == 124750);  // the parent has its workers now
    const pid_t child = fork();
    if (child == 0) _exit(sum_in_parallel() == 124750 ? 0 : 1);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(sum_in_parallel() == 124750);
}

}  // namespace

int main() {
    covers_every_index_once();
    passes_a_status_on();
    serves_many_callers_at_once();
    nested_calls_finish();
    works_after_fork();
    return plr_test::report();
}

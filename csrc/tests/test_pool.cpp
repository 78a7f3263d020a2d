#include <atomic>
#include <chrono>
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

// Ranges that take very different times: whoever is done takes the next one, and the call waits for the slowest.
void waits_for_the_slowest() {
    std::atomic<i64> done{0};
    const int status = parallel_for(64, 4, [&](i64 first, i64 last) {
        if (first == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
        done += last - first;
        return 0;
    });
    CHECK(status == 0);
    CHECK(done == 64);
}

// More threads than before are started, fewer are left asleep, and a call never runs on more than it may.
void number_of_threads_may_change() {
    for (int threads : {2, 8, 3, 1, 16, 2}) {
        std::atomic<int> running{0}, most{0}, covered{0};
        parallel_for(200, threads, [&](i64 first, i64 last) {
            const int now = ++running;
            int seen = most;
            while (now > seen && !most.compare_exchange_weak(seen, now)) {
            }
            std::this_thread::yield();
            covered += (int)(last - first);
            --running;
            return 0;
        });
        CHECK(covered == 200);
        CHECK(most <= threads);
    }
}

void helpers_do_join_in() {
    std::atomic<int> inside{0};
    // Each of two ranges waits for the other: only two threads can end this, and not before both are inside.
    const int status = parallel_for(2, 2, [&](i64, i64) {
        ++inside;
        for (int i = 0; i < 20000 && inside < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return inside == 2 ? 0 : 1;
    });
    CHECK(status == 0);
}

void passes_a_status_on() {
    CHECK(parallel_for(100, 4, [](i64 first, i64) { return first == 0 ? 5 : 0; }) == 5);
    CHECK(parallel_for(1, 1, [](i64, i64) { return 3; }) == 3);
    // A failed range stops no other: all are tried, and the next call starts clean.
    std::atomic<i64> tried{0};
    CHECK(parallel_for(100, 4, [&](i64 first, i64 last) {
              tried += last - first;
              return first % 2 ? 0 : 7;
          }) == 7);
    CHECK(tried == 100);
    CHECK(parallel_for(100, 4, [](i64, i64) { return 0; }) == 0);
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

}  // namespace

int main() {
    covers_every_index_once();
    waits_for_the_slowest();
    number_of_threads_may_change();
    helpers_do_join_in();
    passes_a_status_on();
    serves_many_callers_at_once();
    nested_calls_finish();
    return plr_test::report();
}

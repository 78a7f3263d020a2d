#include "pool.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace plr {
namespace {

// One parallel_for in flight. Ranges are handed out one by one, so a slow thread holds nobody up.
struct Job {
    const std::function<int(i64, i64)>* body;
    i64 count, step;
    std::atomic<i64> next{0};
    std::atomic<int> status{0};

    void run() {
        for (;;) {
            const i64 first = next.fetch_add(step);
            if (first >= count) return;
            const int result = (*body)(first, std::min(first + step, count));
            int none = 0;
            if (result != 0) status.compare_exchange_strong(none, result);
        }
    }
};

class Pool {
  public:
    explicit Pool(pid_t owner) : owner_(owner) {}

    pid_t owner() const { return owner_; }
    bool try_enter() { return busy_.try_lock(); }
    void leave() { busy_.unlock(); }

    // The caller holds the pool (try_enter). Helpers join in as far as threads can be started at all.
    void run(Job& job, int helpers) {
        try {
            while (started_ < helpers) {
                std::thread([this] { serve(); }).detach();
                ++started_;
            }
        } catch (const std::exception&) {  // no more threads or memory to be had: go on with those that exist
        }
        helpers = std::min(helpers, started_);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            job_ = &job;
            seats_ = helpers;
            active_ = 0;
        }
        wake_.notify_all();
        job.run();
        std::unique_lock<std::mutex> lock(mutex_);
        seats_ = 0;  // who has not sat down by now finds no work anyway
        done_.wait(lock, [this] { return active_ == 0; });
        job_ = nullptr;
    }

  private:
    void serve() {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return seats_ > 0; });
            --seats_;
            ++active_;
            Job* job = job_;
            lock.unlock();
            job->run();
            lock.lock();
            if (--active_ == 0) done_.notify_one();
        }
    }

    const pid_t owner_;
    std::mutex busy_, mutex_;
    std::condition_variable wake_, done_;
    Job* job_ = nullptr;
    int started_ = 0, seats_ = 0, active_ = 0;
};

std::atomic<Pool*> current{nullptr};

// The pool of this process. One inherited through fork has no threads and may hold a lock: it is left as it is.
Pool& pool() {
    const pid_t self = getpid();
    Pool* seen = current.load();
    while (seen == nullptr || seen->owner() != self) {
        Pool* fresh = new Pool(self);
        if (current.compare_exchange_strong(seen, fresh)) return *fresh;
        delete fresh;
    }
    return *seen;
}

}  // namespace

int parallel_for(i64 count, int threads, const std::function<int(i64, i64)>& body) {
    const int helpers = (int)std::min<i64>(threads, count) - 1;
    if (count <= 0) return 0;
    if (helpers <= 0) return body(0, count);
    Pool& workers = pool();
    if (!workers.try_enter()) return body(0, count);
    Job job;
    job.body = &body;
    job.count = count;
    // A few ranges per thread: each range sets up its scratch memory anew, so not one per sample.
    job.step = std::max<i64>(1, count / (4 * (i64)(helpers + 1)));
    workers.run(job, helpers);
    workers.leave();
    return job.status.load();
}

}  // namespace plr

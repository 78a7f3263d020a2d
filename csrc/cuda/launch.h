// Kernels that run on a GPU and on the host alike.
//
// A kernel is a struct K:
//     struct Params    what all threads of a launch share: pointers and numbers, passed by value
//     struct Shared    memory of a block; no constructor, nothing in it is initialised
//     struct Thread    what one thread remembers from phase to phase; in registers, so no arrays with variable indices
//     static constexpr u32 threads    of a block
//     static constexpr u32 blocks     that a multiprocessor should be able to hold at once: bounds the registers
//     static constexpr u32 phases     between which the threads of a block wait for each other
//     template <int phase> PLR_BODY void run(const At& at, Thread& mine, Shared& shared, const Params& p);
// and may have
//     static constexpr u32 again_from    after the last phase, phases from this one on are run again, as long as
//     PLR_BODY bool again(const Shared& shared)
// A phase may read what other threads wrote to `shared` in earlier phases, and must not depend on the order of threads
// within itself, but for the atomic functions below. Then a loop over blocks, phases and threads on the host
// (run_on_host) gives what the GPU gives, bit for bit: see platform.h for the rules of the arithmetic.
//
// Like core/, this includes no system header: NVRTC reads it.
#ifndef PLR_CUDA_LAUNCH_H
#define PLR_CUDA_LAUNCH_H

#include "../core/platform.h"

// For functions of kernels and what they call: inlined whatever the size, so that Thread and Params stay in registers.
// PLR_MEMBER is the same for functions with a `this`.
#if defined(__CUDACC__)
#define PLR_BODY static __forceinline__ __host__ __device__
#define PLR_MEMBER __forceinline__ __host__ __device__
#else
#define PLR_BODY static inline
#define PLR_MEMBER inline
#endif

// PLR_DEVICE_CODE: the text at hand is compiled for the GPU, not for the host.
#if defined(__CUDA_ARCH__)
#define PLR_DEVICE_CODE
#define PLR_UNROLL _Pragma("unroll")
#define PLR_UNROLL_TWICE _Pragma("unroll 2")
#define PLR_NO_UNROLL _Pragma("unroll 1")
#else
#define PLR_UNROLL
#define PLR_UNROLL_TWICE
#define PLR_NO_UNROLL
#endif

namespace plr {
namespace cuda {

// Where a thread is: its block in the grid, and its number in the block.
struct At {
    u32 x, y, z;
    u32 thread;
};

struct Nothing {};  // for kernels without Shared or Thread

// Atomic operations on shared or global memory. Integers only: their results do not depend on the order.
PLR_BODY void atomic_min(u32* place, u32 value) {
#if defined(PLR_DEVICE_CODE)
    ::atomicMin(place, value);
#else
    *place = value < *place ? value : *place;
#endif
}

PLR_BODY void atomic_max(u32* place, u32 value) {
#if defined(PLR_DEVICE_CODE)
    ::atomicMax(place, value);
#else
    *place = value > *place ? value : *place;
#endif
}

// Returns what was there before.
PLR_BODY u32 atomic_add(u32* place, u32 value) {
#if defined(PLR_DEVICE_CODE)
    return ::atomicAdd(place, value);
#else
    const u32 before = *place;
    *place += value;
    return before;
#endif
}

// The bits are set, whoever does it first.
PLR_BODY void atomic_or(u32* place, u32 bits) {
#if defined(PLR_DEVICE_CODE)
    ::atomicOr(place, bits);
#else
    *place |= bits;
#endif
}

// Returns what was there before. What threads find depends on their order: only for results that do not.
PLR_BODY u32 atomic_exchange(u32* place, u32 value) {
#if defined(PLR_DEVICE_CODE)
    return ::atomicExch(place, value);
#else
    const u32 before = *place;
    *place = value;
    return before;
#endif
}

// Reads from global memory that nothing writes during the launch: they may overtake stores.
template <typename T>
PLR_BODY T read_only(const T* place) {
#if defined(PLR_DEVICE_CODE)
    return __ldg(place);
#else
    return *place;
#endif
}

// Four values that are loaded and stored at once; the place must be aligned to all of them.
struct alignas(16) Float4 {
    float v[4];
};

PLR_BODY Float4 read_only4(const float* place) {
#if defined(PLR_DEVICE_CODE)
    const float4 four = __ldg((const float4*)place);
    return {{four.x, four.y, four.z, four.w}};
#else
    return {{place[0], place[1], place[2], place[3]}};
#endif
}

PLR_BODY void store4(float* place, const Float4& value) {
#if defined(PLR_DEVICE_CODE)
    *(float4*)place = make_float4(value.v[0], value.v[1], value.v[2], value.v[3]);
#else
    *(Float4*)place = value;
#endif
}

PLR_BODY void store2(u32* place, u32 first, u32 second) {
#if defined(PLR_DEVICE_CODE)
    *(uint2*)place = make_uint2(first, second);
#else
    place[0] = first;
    place[1] = second;
#endif
}

PLR_BODY double square_root(double value) {
#if defined(PLR_DEVICE_CODE)
    return __dsqrt_rn(value);
#else
    return __builtin_sqrt(value);
#endif
}

// The phase to go on with after the last one; kernels without it end there.
template <typename K>
PLR_HD constexpr u32 again_from(decltype(K::again_from)*) {
    return K::again_from;
}
template <typename K>
PLR_HD constexpr u32 again_from(...) {
    return K::phases;
}

#if defined(__CUDACC__)

template <typename K, u32 phase>
__device__ __forceinline__ void run_phases(const At& at, typename K::Thread& mine, typename K::Shared& shared,
                                           const typename K::Params& p) {
    K::template run<(int)phase>(at, mine, shared, p);
    if constexpr (phase + 1 < K::phases) {
        __syncthreads();
        run_phases<K, phase + 1>(at, mine, shared, p);
    }
}

template <typename K>
__device__ __forceinline__ void run_on_device(const typename K::Params& p) {
    __shared__ typename K::Shared shared;
    typename K::Thread mine;
    const At at = {blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x};
    run_phases<K, 0>(at, mine, shared, p);
    constexpr u32 from = again_from<K>(nullptr);
    if constexpr (from < K::phases) {
        for (;;) {
            __syncthreads();
            const bool again = K::again(shared);
            __syncthreads();  // all have read before any goes on
            if (!again) break;
            run_phases<K, from>(at, mine, shared, p);
        }
    }
}

// The kernel of that struct (the last argument, which may hold commas), under the name plr_<name>.
#define PLR_GLOBAL(name, ...)                                                                    \
    extern "C" __global__ void __launch_bounds__((__VA_ARGS__::threads), (__VA_ARGS__::blocks)) \
        plr_##name(const __grid_constant__ __VA_ARGS__::Params p) {                              \
        plr::cuda::run_on_device<__VA_ARGS__>(p);                                                \
    }

#else

template <typename K, u32 phase>
void run_phases_on_host(At at, typename K::Thread* states, typename K::Shared& shared, const typename K::Params& p,
                        bool backwards) {
    for (u32 k = 0; k < K::threads; ++k) {
        at.thread = backwards ? K::threads - 1 - k : k;
        K::template run<(int)phase>(at, states[at.thread], shared, p);
    }
    if constexpr (phase + 1 < K::phases) run_phases_on_host<K, phase + 1>(at, states, shared, p, backwards);
}

// The same on the host: slow, for tests. `params` are those of K. With `backwards`, blocks and threads take their turns
// from the last to the first: what comes out must not depend on that.
template <typename K>
void run_on_host(u32 grid_x, u32 grid_y, u32 grid_z, const void* params, bool backwards = false) {
    const typename K::Params& p = *(const typename K::Params*)params;
    typename K::Thread states[K::threads];
    typename K::Shared shared;
    const u64 blocks = (u64)grid_x * grid_y * grid_z;
    for (u64 k = 0; k < blocks; ++k) {
        const u64 block = backwards ? blocks - 1 - k : k;
        const At at = {(u32)(block % grid_x), (u32)(block / grid_x % grid_y), (u32)(block / grid_x / grid_y), 0};
        // Nothing works by the accident of what the block before has left.
        __builtin_memset((void*)states, 0xA5, sizeof(states));
        __builtin_memset((void*)&shared, 0xA5, sizeof(shared));
        run_phases_on_host<K, 0>(at, states, shared, p, backwards);
        constexpr u32 from = again_from<K>(nullptr);
        if constexpr (from < K::phases)
            while (K::again(shared)) run_phases_on_host<K, from>(at, states, shared, p, backwards);
    }
}

#endif

}  // namespace cuda
}  // namespace plr

#endif

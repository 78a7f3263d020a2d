// What the lattice rows contribute along the columns: E and F of core/noise.h for one lattice row, and the column terms
// D0 and D1 between two of them.

struct LatticeRow {
    float* e;
    float* f;
};

// Columns first..last of a plane, the part that is made at a time.
struct Strip {
    i64 first, last;
    i64 width() const { return last - first; }
};

// The gradients at a strip's lattice points in one row, in the plane before (and in space the plane after as well).
struct RowGradients {
    float* x[2];
    float* y[2];
    float* z[2];
};

// One octave of the sample in hand: where the rows stand, and the column terms that hold between two lattice rows.
struct OctaveState {
    i32 slot;            // entry of the y lattice that `lower` belongs to, -1 before the first row
    i64 until;           // first row of pixels for which this is no longer so
    LatticeRow lower, upper;
    RowGradients ahead;  // of the lattice row that comes next: made early, so that its stores are done when it is loaded
    i32 ahead_entry;     // which that is, -1 for none
    float* d0;
    float* d1;
    float* base;         // the E of this octave and all before it; the first octave's is `lower.e`
    u8* column_hash;     // [x.lattice_count] first hash step of each lattice column
    LatticeOffset offset;
};

// Where a plane stands between two lattice planes.
struct PlanePosition {
    i32 lattice[2];
    float d, dm, s;
};

// `p` is the permutation twice over, as Perlin had it: a sum of two bytes needs no wrapping.
void find_gradients(const u8* __restrict column_hash, i32 count, const u8* __restrict p, const Octave& octave,
                    float* __restrict to_x, float* __restrict to_y) {
    const float* __restrict gx = octave.gx;
    const float* __restrict gy = octave.gy;
    for (i32 i = 0; i < count; ++i) {
        const u8 g = p[column_hash[i]];
        to_x[i] = gx[g];
        to_y[i] = gy[g];
    }
}

void find_gradients_3d(const u8* __restrict column_hash, i32 count, const u8* __restrict p, const u8* __restrict pz,
                       const Octave& octave, float* __restrict to_x, float* __restrict to_y, float* __restrict to_z) {
    const float* __restrict gx = octave.gx;
    const float* __restrict gy = octave.gy;
    const float* __restrict gz = octave.gz;
    for (i32 i = 0; i < count; ++i) {
        const u8 g = pz[p[column_hash[i]]];
        to_x[i] = gx[g];
        to_y[i] = gy[g];
        to_z[i] = gz[g];
    }
}

// A, and B or C, of core/noise.h, from the entries before and after each column.
inline Vec along(const Pair& gx, Vec d, Vec dm, Vec s) { return lerp(gx.before * d, gx.after * dm, s); }
inline Vec across(const Pair& g, Vec s) { return lerp(g.before, g.after, s); }

// E and F of one lattice row and, unless there is none below, D0 and D1 between that one and this.
template <typename Pick, bool SPATIAL, bool BELOW>
inline void blend_columns(const Axis& x, const Strip& strip, const PlanePosition* plane, const OctaveState& state) {
    const i32* const slot = x.slot + strip.first;
    const float* const d = x.d + strip.first;
    const float* const dm = x.dm + strip.first;
    const float* const s = x.s + strip.first;
    const RowGradients g = state.ahead;
    const LatticeRow lower = state.lower, row = BELOW ? state.upper : state.lower;
    float* const d0 = state.d0;
    float* const d1 = state.d1;
    const i32 origin = slot[0];
    const i64 width = strip.width();
    for (i64 i = 0; i < width; i += LANES) {
        const Pick pick(slot + i, origin);
        const Vec di = load(d + i), dmi = load(dm + i), si = load(s + i);
        Vec e = along(pick(g.x[0]), di, dmi, si);
        Vec f = across(pick(g.y[0]), si);
        if (SPATIAL) {
            const Vec before = fma(splat(plane->d), across(pick(g.z[0]), si), e);
            const Vec after = fma(splat(plane->dm), across(pick(g.z[1]), si), along(pick(g.x[1]), di, dmi, si));
            e = lerp(before, after, splat(plane->s));
            f = lerp(f, across(pick(g.y[1]), si), splat(plane->s));
        }
        store(row.e + i, e);
        store(row.f + i, f);
        if (BELOW) {
            store(d0 + i, (e - f) - load(lower.e + i));
            store(d1 + i, f - load(lower.f + i));
        }
    }
}

template <bool SPATIAL, bool BELOW>
void blend_row(const Axis& x, const Strip& strip, const PlanePosition* plane, const OctaveState& state) {
    if (x.near)
        blend_columns<NearPick, SPATIAL, BELOW>(x, strip, plane, state);
    else
        blend_columns<FarPick, SPATIAL, BELOW>(x, strip, plane, state);
}

template <bool SPATIAL>
void find_ahead(const Octave& octave, OctaveState& state, const Strip& strip, const u8* p, i32 entry,
                const PlanePosition* plane) {
    const RowGradients& g = state.ahead;
    const u8* const py = p + ((octave.y.lattice[entry] + state.offset.y) & (LATTICE_PERIOD - 1));
    const i32* const slot = octave.x.slot;
    const i32 origin = slot[strip.first], count = slot[strip.last - 1] + 2 - origin;
    const u8* const hash = state.column_hash + origin;
    if (!SPATIAL) find_gradients(hash, count, py, octave, g.x[0], g.y[0]);
    for (i32 side = 0; SPATIAL && side < 2; ++side) {
        const u8* const pz = p + ((plane->lattice[side] + state.offset.z) & (LATTICE_PERIOD - 1));
        find_gradients_3d(hash, count, py, pz, octave, g.x[side], g.y[side], g.z[side]);
    }
    state.ahead_entry = entry;
}

// The lattice row of that entry: as the upper one, with D0 and D1, or as the first of all.
template <bool SPATIAL, bool BELOW>
void lattice_row(const Octave& octave, OctaveState& state, const Strip& strip, const u8* p, i32 entry,
                 const PlanePosition* plane) {
    if (state.ahead_entry != entry) find_ahead<SPATIAL>(octave, state, strip, p, entry, plane);
    blend_row<SPATIAL, BELOW>(octave.x, strip, plane, state);
    if (entry + 1 < octave.y.lattice_count) find_ahead<SPATIAL>(octave, state, strip, p, entry + 1, plane);
}

// Bring the octave to pixel row `row`, which lies at or beyond `until`.
template <bool SPATIAL>
void advance(const Octave& octave, OctaveState& state, const Strip& strip, const u8* p, i64 row,
             const PlanePosition* plane) {
    const i32 slot = octave.y.slot[row];
    if (state.slot >= 0 && slot == state.slot + 1) {  // the lattice row above becomes the one below
        const LatticeRow swapped = state.lower;
        state.lower = state.upper;
        state.upper = swapped;
    } else {
        lattice_row<SPATIAL, false>(octave, state, strip, p, slot, plane);
    }
    lattice_row<SPATIAL, true>(octave, state, strip, p, slot + 1, plane);
    state.slot = slot;
    state.until = octave.y.run_end[row];
}

void add_rows(const float* a, const float* b, i64 width, float* sum) {
    for (i64 i = 0; i < width; i += LANES) store(sum + i, load(a + i) + load(b + i));
}

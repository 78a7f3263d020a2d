// The gradient tables G: 256 unit vectors in the plane (angles 2 pi k / 256) or in space (a spherical Fibonacci
// lattice: heights evenly spread, azimuth turning by the golden angle).
//
// cos and sin of the C library may differ in the last bit between platforms, so they are evaluated here by their
// Taylor series on [-pi/4, pi/4] in plain float64 operations, whose results IEEE 754 fixes. The Python backend does
// the very same operations (plr_fast/backends/tables.py).
#ifndef PLR_CORE_GRADIENTS_H
#define PLR_CORE_GRADIENTS_H

#include "platform.h"

namespace plr {

// cos and sin of 2 pi t for 0 <= t < 1, each within 2^-50.
PLR_HD void cos_sin_turns(double t, double* c, double* s) {
    const i32 quarter = (i32)(t * 4.0 + 0.5);
    const double a = (t - quarter * 0.25) * 6.283185307179586;
    const double z = a * a;
    double even = 0.0, odd = 0.0;
    for (i32 n = 9; n >= 0; --n) {  // Horner: even = sum (-z)^n / (2n)!, odd = sum (-z)^n / (2n+1)!
        even = 1.0 - even * z / ((2 * n + 1) * (2 * n + 2));
        odd = 1.0 - odd * z / ((2 * n + 2) * (2 * n + 3));
    }
    odd = odd * a;
    const i32 q = quarter & 3;
    *c = q == 0 ? even : q == 1 ? -odd : q == 2 ? -even : odd;
    *s = q == 0 ? odd : q == 1 ? even : q == 2 ? -odd : -even;
}

PLR_HD void gradient_2d(i32 k, double* x, double* y) { cos_sin_turns(k / 256.0, x, y); }

// z of gradient k in space.
PLR_HD double gradient_height(i32 k) { return 1.0 - (2 * k + 1) / 256.0; }

PLR_HD void gradient_3d(i32 k, double root, double* x, double* y, double* z) {
    // root = sqrt(1 - z^2), from the caller: core/ has no sqrt of its own.
    const double turns = k * 0.6180339887498949;  // 1 / golden ratio
    double c, s;
    cos_sin_turns(turns - (double)(i32)turns, &c, &s);
    *x = root * c;
    *y = root * s;
    *z = gradient_height(k);
}

}  // namespace plr

#endif

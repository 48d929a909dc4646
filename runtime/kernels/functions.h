/* Coefficients of functions of f32, for all code that computes them: generated kernels, and what products do to
 * their results. Minimax fits of the remainder after range reduction (Lawson's iteration on a Chebyshev grid,
 * relative error); codegen/math.c says how they are used and how far they are from the truth. Lists, since one
 * side wants doubles and the other floats: the double nearest to each and the float nearest to that. */
#ifndef LVT_KERNELS_FUNCTIONS_H
#define LVT_KERNELS_FUNCTIONS_H

/* tanh(x) = x p(x^2) / q(x^2) on |x| <= LVT_TANH_LIMIT, 1 beyond. */
#define LVT_TANH_LIMIT 9.5
#define LVT_TANH_P                                                                                           \
    0.9999999790581817, 0.13379731498334388, 0.003494049871374924, 2.058370247803265e-05,                    \
        1.331932272524993e-08
#define LVT_TANH_Q 1.0, 0.467130467692617, 0.025871133493044814, 0.0003283116538385303, 7.762133771147357e-07

/* erf(x) in the same form. */
#define LVT_ERF_LIMIT 4.1
#define LVT_ERF_P                                                                                            \
    1.1283791462077464, 0.19040483546081796, 0.05274841064851193, 0.003765516109312206,                      \
        0.0002848751650531949, 2.0500327806820536e-06
#define LVT_ERF_Q                                                                                            \
    1.0, 0.502074634337404, 0.1141083477603305, 0.014969024961174913, 0.0011625008400726227,                 \
        3.809075043335779e-05

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, and the halves of ln 2: the first has so few bits that its product
 * with any exponent is exact. */
#define LVT_EXP_REST                                                                                         \
    0.5000000095126004, 0.16666518898057614, 0.04166620599590403, 0.008368882304306694, 0.0013950478132726586
#define LVT_LN2_HIGH 0.693359375
#define LVT_LN2_LOW (-2.12194440054690583e-4)

#endif

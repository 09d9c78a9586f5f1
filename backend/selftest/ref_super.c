/* The scalar truth of the double-quantized quantizer; see ref_super.h. */
#include "ref_super.h"
#include <math.h>

static float clamp(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }

/* 8 bytes for every element of every array: simple, and large enough. */
size_t ref_super_bytes(const ref_super *f) {
    return 8 * ((size_t)(f->O * f->I) * 4 + (size_t)(f->O * f->I / f->G) * 8 + 1);
}

static void *take(void **memory, int64_t count) {
    double *at = *memory;
    *memory = at + count;
    return at;
}

/* A multiple of a group: (its start times the coefficient) rounded; *live = no bound holds it. */
static float multiple(const ref_super *f, int64_t group, int which, int *live) {
    float start = f->start[4 * group + 2 + which], least = which || f->least > 0 ? 0.0f : (float)f->least;
    float coefficient =
        f->mm && f->m_div != 0.0f ? (f->m_div + (float)f->mm[2 * group + which]) / f->m_div : 1.0f;
    float free_multiple = rintf(start * coefficient), held = clamp(free_multiple, least, (float)f->most);
    *live = held == free_multiple;
    return held;
}

static void quantize(ref_super_out *o, const ref_super *f, int64_t group) {
    float Q = (float)((1 << f->bits) - 1), zp = f->has_min ? 0.0f : (float)(1 << (f->bits - 1));
    const float *start = f->start + 4 * group;
    int live[2];
    float s = start[0] * multiple(f, group, 0, &live[0]), m = start[1] * multiple(f, group, 1, &live[1]);
    double A = 0, B = 0, parts = 0;
    o->sz[4 * group] = s;
    o->sz[4 * group + 1] = m;
    o->sz[4 * group + 2] = s != 0.0f ? 1.0f / s : 0.0f;
    for (int64_t i = group * f->G; i < (group + 1) * f->G; i++) {
        float V = f->v && f->v_div != 0.0f ? (float)f->v[i] / f->v_div : 0.0f;
        float ws = s != 0.0f ? (f->W[i] + m) / s : 0.0f;
        float free_q = rintf(ws + V) + zp, q = clamp(free_q, 0.0f, Q);
        o->in[i] = q == free_q;
        o->codes[i] = (uint8_t)q;
        o->Wq[i] = s * (q - zp) - m;
        if (!f->dW) continue;
        double G = (double)f->dW[i], in = o->in[i];
        o->dv[i] = G * (double)s * in;
        A += G * ((double)(q - zp) - in * (double)ws);
        B += G * (1 - in);
        parts += fabs(G) * (fabs((double)(q - zp)) + fabs((double)ws));
    }
    double by_s = live[0] * (double)start[0] * (double)start[2],
           by_m = live[1] * (double)start[1] * (double)start[3];
    o->dmm[2 * group] = by_s * A;
    o->dmm[2 * group + 1] = -by_m * B;
    o->parts[group] = fabs(by_s) * parts;
}

void ref_super_run(ref_super_out *o, const ref_super *f, void *memory) {
    int64_t n = f->O * f->I, groups = n / f->G;
    o->dv = take(&memory, n);
    o->dmm = take(&memory, 2 * groups);
    o->parts = take(&memory, groups);
    o->Wq = take(&memory, n);
    o->sz = take(&memory, 4 * groups);
    o->codes = take(&memory, n);
    o->in = take(&memory, n);
    for (int64_t group = 0; group < groups; group++) quantize(o, f, group);
}

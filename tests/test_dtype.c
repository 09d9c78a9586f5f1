/* backend/base/dtype.c: sizes, names and exact conversions, against conversions done in double arithmetic. */
#include "ar_backend.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* The value of fp16 bits by the definition: (-1)^s 2^(e-15) (1 + m/1024). */
static double ref_f16(uint16_t h) {
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? NAN : INFINITY) : e == 0 ? ldexp(m, -24) : ldexp(1024 + m, e - 25);
    return h & 0x8000 ? -v : v;
}

static float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static uint32_t to_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static void sizes_and_names_are_those_of_the_types(void **state) {
    (void)state;
    static const struct {
        ar_dtype dtype;
        size_t bytes;
        const char *name;
    } rows[] = {{AR_F32, 4, "f32"}, {AR_F16, 2, "f16"}, {AR_BF16, 2, "bf16"}, {AR_I32, 4, "i32"},
                {AR_U32, 4, "u32"}, {AR_I16, 2, "i16"}, {AR_U8, 1, "u8"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(ar_dtype_bytes(rows[i].dtype), rows[i].bytes);
        assert_string_equal(ar_dtype_name(rows[i].dtype), rows[i].name);
    }
    assert_int_equal(ar_dtype_bytes((ar_dtype)99), 0);
    assert_string_equal(ar_dtype_name((ar_dtype)99), "?");
}

static void every_f16_has_its_value_and_survives_the_round_trip(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        double want = ref_f16((uint16_t)h);
        float got = ar_f16_to_f32((uint16_t)h);
        if (isnan(want)) {
            assert_true(isnan(got));
            assert_true(isnan(ar_f16_to_f32(ar_f32_to_f16(got))));
            continue;
        }
        assert_true(got == want && !signbit(got) == !signbit(want));
        assert_int_equal(ar_f32_to_f16(got), h);
    }
}

/* Between every two neighbours: just below the middle, the middle (to even), just above. */
static void f16_rounds_to_nearest_with_ties_to_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        double low = ref_f16((uint16_t)h), high = ref_f16((uint16_t)(h + 1));
        float middle = (float)((low + high) / 2); /* exact: 12 significant bits */
        uint32_t even = h & 1 ? h + 1 : h;
        for (uint32_t sign = 0; sign < 2; sign++) {
            float s = sign ? -1.0f : 1.0f;
            uint32_t bit = sign << 15;
            assert_int_equal(ar_f32_to_f16(s * middle), bit | even);
            assert_int_equal(ar_f32_to_f16(s * nextafterf(middle, 0.0f)), bit | h);
            assert_int_equal(ar_f32_to_f16(s * nextafterf(middle, INFINITY)), bit | (h + 1));
        }
    }
}

static void f16_overflows_to_infinity_from_the_last_tie(void **state) {
    (void)state;
    assert_int_equal(ar_f32_to_f16(65504.0f), 0x7bff);
    assert_int_equal(ar_f32_to_f16(nextafterf(65520.0f, 0.0f)), 0x7bff);
    assert_int_equal(ar_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(ar_f32_to_f16(-3e38f), 0xfc00);
    assert_int_equal(ar_f32_to_f16(INFINITY), 0x7c00);
    assert_true((ar_f32_to_f16(NAN) & 0x7fff) > 0x7c00);
}

static void bf16_rounds_to_nearest_with_ties_to_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = ar_bf16_to_f32((uint16_t)h);
        assert_int_equal(to_bits(f), h << 16);
        if (isnan(f)) {
            assert_true(isnan(ar_bf16_to_f32(ar_f32_to_bf16(f))));
            continue;
        }
        assert_int_equal(ar_f32_to_bf16(f), h);
        if ((h & 0x7fff) == 0x7f80) continue; /* infinity has no next */
        assert_int_equal(ar_f32_to_bf16(from_bits(h << 16 | 0x7fff)), h);
        assert_int_equal(ar_f32_to_bf16(from_bits(h << 16 | 0x8000)), h & 1 ? h + 1 : h);
        assert_int_equal(ar_f32_to_bf16(from_bits(h << 16 | 0x8001)), h + 1);
    }
    assert_true(isnan(ar_bf16_to_f32(ar_f32_to_bf16(from_bits(0x7f800001)))));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_names_are_those_of_the_types),
        cmocka_unit_test(every_f16_has_its_value_and_survives_the_round_trip),
        cmocka_unit_test(f16_rounds_to_nearest_with_ties_to_even),
        cmocka_unit_test(f16_overflows_to_infinity_from_the_last_tie),
        cmocka_unit_test(bf16_rounds_to_nearest_with_ties_to_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* backend/core/cache.c: what was stored comes back; anything truncated, changed, moved or made for another id
 * is a miss. */
#include "cache.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[256];
static const ar__cache_id base_id = {"device", "driver", "1.2", "-DA=1u", 42};
static const char payload[] = "some binary\0with a zero";

static int make_dir(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/ar-cache-XXXXXX", base ? base : P_tmpdir);
    return mkdtemp(dir) ? 0 : -1;
}

static void path_of(char *path, size_t bytes, uint64_t key) {
    snprintf(path, bytes, "%s/t-%016llx.bin", dir, (unsigned long long)key);
}

static int remove_dir(void **state) {
    (void)state;
    char path[512];
    for (uint64_t key = 0; key < 16; key++) {
        path_of(path, sizeof path, key);
        remove(path);
    }
    return rmdir(dir); /* fails if a part file was left */
}

static bool loads(uint64_t key, const ar__cache_id *id) {
    void *data = (void *)dir;
    size_t bytes = 99;
    bool hit = ar__cache_load(dir, "t", key, id, &data, &bytes);
    if (!hit)
        assert_true(data == NULL && bytes == 0);
    else
        assert_true(bytes == sizeof payload && memcmp(data, payload, bytes) == 0);
    free(data);
    return hit;
}

static size_t slurp(const char *path, uint8_t *out, size_t capacity) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(out, 1, capacity, f);
    fclose(f);
    return n;
}

static void spill(const char *path, const uint8_t *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    fclose(f);
}

static void what_was_stored_comes_back(void **state) {
    (void)state;
    assert_false(loads(1, &base_id));
    ar__cache_store(dir, "t", 1, &base_id, payload, sizeof payload);
    assert_true(loads(1, &base_id));
    ar__cache_store(dir, "t", 1, &base_id, payload, sizeof payload);
    assert_true(loads(1, &base_id));
}

static void an_empty_payload_is_legal(void **state) {
    (void)state;
    void *data;
    size_t bytes;
    ar__cache_store(dir, "t", 2, &base_id, "", 0);
    assert_true(ar__cache_load(dir, "t", 2, &base_id, &data, &bytes));
    assert_int_equal(bytes, 0);
    free(data);
}

static void another_identity_is_a_miss(void **state) {
    (void)state;
    ar__cache_store(dir, "t", 3, &base_id, payload, sizeof payload);
    for (int i = 0; i < 7; i++) {
        ar__cache_id id = base_id;
        if (i == 0) id.device = "Device";
        if (i == 1) id.driver = "driver 2";
        if (i == 2) id.version = "1.20";
        if (i == 3) id.options = "-DA=2u";
        if (i == 4) id.source_hash = 43;
        if (i == 5) id.options = NULL;
        if (i == 6) id.device = "device\ndriver", id.driver = "1.2";
        assert_false(loads(3, &id));
        assert_true(ar__cache_key(&id) != ar__cache_key(&base_id));
    }
    assert_true(loads(3, &base_id));
}

static void every_truncation_is_a_miss(void **state) {
    (void)state;
    uint8_t file[1024];
    char path[512];
    path_of(path, sizeof path, 4);
    ar__cache_store(dir, "t", 4, &base_id, payload, sizeof payload);
    size_t n = slurp(path, file, sizeof file);
    for (size_t cut = 0; cut < n; cut++) {
        spill(path, file, cut);
        assert_false(loads(4, &base_id));
    }
    file[n] = 0;
    spill(path, file, n + 1);
    assert_false(loads(4, &base_id));
    spill(path, file, n);
    assert_true(loads(4, &base_id));
}

static void every_changed_byte_is_a_miss(void **state) {
    (void)state;
    uint8_t file[1024];
    char path[512];
    path_of(path, sizeof path, 5);
    ar__cache_store(dir, "t", 5, &base_id, payload, sizeof payload);
    size_t n = slurp(path, file, sizeof file);
    for (size_t i = 0; i < n; i++) {
        static const uint8_t changes[] = {0x01, 0x80, 0xff};
        for (size_t c = 0; c < sizeof changes; c++) {
            file[i] ^= changes[c];
            spill(path, file, n);
            assert_false(loads(5, &base_id));
            file[i] ^= changes[c];
        }
    }
}

static void a_file_under_another_key_is_a_miss(void **state) {
    (void)state;
    uint8_t file[1024];
    char path[512];
    ar__cache_store(dir, "t", 6, &base_id, payload, sizeof payload);
    path_of(path, sizeof path, 6);
    size_t n = slurp(path, file, sizeof file);
    path_of(path, sizeof path, 7);
    spill(path, file, n);
    assert_false(loads(7, &base_id));
}

static void no_folder_means_no_cache(void **state) {
    (void)state;
    void *data;
    size_t bytes;
    ar__cache_store(NULL, "t", 8, &base_id, payload, sizeof payload);
    assert_false(ar__cache_load(NULL, "t", 8, &base_id, &data, &bytes));
    ar__cache_store("/dev/null/deeper", "t", 8, &base_id, payload, sizeof payload);
    assert_false(ar__cache_load("/dev/null/deeper", "t", 8, &base_id, &data, &bytes));
}

static void an_identity_too_long_is_not_cached(void **state) {
    (void)state;
    static char options[5000];
    memset(options, 'x', sizeof options - 1);
    ar__cache_id id = base_id;
    id.options = options;
    ar__cache_store(dir, "t", 9, &id, payload, sizeof payload);
    assert_false(loads(9, &id));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_stored_comes_back),   cmocka_unit_test(an_empty_payload_is_legal),
        cmocka_unit_test(another_identity_is_a_miss),   cmocka_unit_test(every_truncation_is_a_miss),
        cmocka_unit_test(every_changed_byte_is_a_miss), cmocka_unit_test(a_file_under_another_key_is_a_miss),
        cmocka_unit_test(no_folder_means_no_cache),     cmocka_unit_test(an_identity_too_long_is_not_cached),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

/* The program's start when loaders or drivers are missing, for which this test runs itself again in a changed
 * environment. */
/* ctest-labels: device vulkan */
#include "all_devices.h"

static const char *self; /* this program's path */

static int probe(void) {
    static ar_device_facts facts[DEVICES_MAX];
    char notes[1024] = "";
    int32_t count = -1, per_api[2] = {0, 0};
    if (ar_device_list(facts, &count, DEVICES_MAX, notes, sizeof notes) != AR_OK) return 1;
    for (int32_t i = 0; i < count && i < DEVICES_MAX; i++) per_api[strcmp(facts[i].api, "cl") == 0]++;
    ar_device *device = NULL;
    ar_status status = ar_device_open(&device, &(ar_device_desc){.select = "auto"});
    ar_device_close(device);
    if (status != (count ? AR_OK : AR_ERR_NO_DEVICE)) return 2;
    if (count == 0 && !strstr(ar_error(), notes)) return 3;
    printf("vk=%d cl=%d %s\n", per_api[0], per_api[1], notes);
    return 0;
}

typedef struct probe_result {
    int32_t vk, cl;
    char text[2048];
} probe_result;

/* Runs the probe with "NAME=value" settings added; the child must end well by itself. */
static probe_result run_probe(const char *const *settings, int count) {
    probe_result r = {-1, -1, ""};
    int pipe_ends[2], status = -1;
    assert_int_equal(pipe(pipe_ends), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < count; i++) putenv((char *)(uintptr_t)settings[i]);
        dup2(pipe_ends[1], STDOUT_FILENO);
        execl(self, self, "--probe", (char *)NULL);
        _exit(99);
    }
    close(pipe_ends[1]);
    size_t used = 0;
    for (ssize_t n;
         used < sizeof r.text - 1 && (n = read(pipe_ends[0], r.text + used, sizeof r.text - 1 - used)) > 0;)
        used += (size_t)n;
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    const char *line = strstr(r.text, "vk=");
    if (status != 0 || !line || sscanf(line, "vk=%d cl=%d", &r.vk, &r.cl) != 2)
        fail_msg("probe: %d, %s", status, r.text);
    return r;
}

typedef struct sandbox {
    char dir[256], path[300], vk_lib[300], cl_lib[300], both_lib[300];
} sandbox;

static void write_file(const char *dir, const char *name, const char *text) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Files that stand where a library should be hide the real one from the dynamic linker. */
static void hide(const char *dir, const char *name) {
    char versioned[64];
    snprintf(versioned, sizeof versioned, "%s.1", name);
    write_file(dir, name, "");
    write_file(dir, versioned, "");
}

static sandbox make_sandbox(void) {
    sandbox s;
    const char *base = getenv("TMPDIR");
    snprintf(s.dir, sizeof s.dir, "%s/ar-device-XXXXXX", base ? base : P_tmpdir);
    assert_non_null(mkdtemp(s.dir));
    static const char *const names[] = {"novk", "nocl", "none", "empty", "broken"};
    for (int i = 0; i < 5; i++) {
        snprintf(s.path, sizeof s.path, "%s/%s", s.dir, names[i]);
        assert_int_equal(mkdir(s.path, 0700), 0);
        if (i == 0 || i == 2) hide(s.path, "libvulkan.so");
        if (i == 1 || i == 2) hide(s.path, "libOpenCL.so");
    }
    write_file(s.path, "broken.json", "{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\":");
    write_file(s.path, "absent.json",
               "{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\": \"/nonexistent/lib.so\", "
               "\"api_version\": \"1.1.0\"}}");
    write_file(s.path, "broken.icd", "/nonexistent/libbroken.so\n");
    return s;
}

static void remove_sandbox(const sandbox *s) {
    static const char *const files[] = {"novk/libvulkan.so",
                                        "novk/libvulkan.so.1",
                                        "nocl/libOpenCL.so",
                                        "nocl/libOpenCL.so.1",
                                        "none/libvulkan.so",
                                        "none/libvulkan.so.1",
                                        "none/libOpenCL.so",
                                        "none/libOpenCL.so.1",
                                        "broken/broken.json",
                                        "broken/absent.json",
                                        "broken/broken.icd",
                                        "novk",
                                        "nocl",
                                        "none",
                                        "empty",
                                        "broken",
                                        ""};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", s->dir, files[i]);
        assert_int_equal(remove(path), 0);
    }
}

/* One changed environment and what must be left: -1 = as before. */
typedef struct env_row {
    const char *const formats[3]; /* with one %s for the sandbox */
    int32_t vk, cl;
    const char *note;
} env_row;

static void the_program_starts_with_loaders_and_drivers_missing(void **state) {
    (void)state;
#ifndef __linux__
    skip();
#endif
    static const env_row rows[] = {
        {{"LD_LIBRARY_PATH=%s/novk"}, 0, -1, "vk: no"},
        {{"LD_LIBRARY_PATH=%s/nocl"}, -1, 0, "cl: no"},
        {{"LD_LIBRARY_PATH=%s/none"}, 0, 0, "no OpenCL loader"},
        {{"VK_DRIVER_FILES=/nonexistent", "VK_ICD_FILENAMES=/nonexistent"}, 0, -1, "vk: "},
        {{"OCL_ICD_VENDORS=%s/empty/"}, -1, 0, "without platforms"},
        {{"VK_DRIVER_FILES=/nonexistent", "VK_ICD_FILENAMES=/nonexistent", "OCL_ICD_VENDORS=%s/empty/"},
         0,
         0,
         "cl: "},
        {{"VK_DRIVER_FILES=%s/broken/broken.json", "VK_ICD_FILENAMES=%s/broken/broken.json"}, 0, -1, "vk: "},
        {{"VK_DRIVER_FILES=%s/broken/absent.json", "VK_ICD_FILENAMES=%s/broken/absent.json"}, 0, -1, "vk: "},
        {{"OCL_ICD_VENDORS=%s/broken/"}, -1, 0, "cl: "},
    };
    sandbox s = make_sandbox();
    probe_result normal = run_probe(NULL, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char texts[3][400];
        const char *settings[3];
        int count = 0;
        for (; count < 3 && rows[i].formats[count]; count++) {
            const char *at = strstr(rows[i].formats[count], "%s");
            int length = at ? (int)(at - rows[i].formats[count]) : (int)strlen(rows[i].formats[count]);
            snprintf(texts[count], sizeof texts[0], "%.*s%s%s", length, rows[i].formats[count],
                     at ? s.dir : "", at ? at + 2 : "");
            settings[count] = texts[count];
        }
        probe_result r = run_probe(settings, count);
        print_message("%s: %s", rows[i].formats[0], r.text);
        assert_int_equal(r.vk, rows[i].vk < 0 ? normal.vk : rows[i].vk);
        assert_int_equal(r.cl, rows[i].cl < 0 ? normal.cl : rows[i].cl);
        assert_non_null(strstr(r.text, rows[i].note));
    }
    remove_sandbox(&s);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_program_starts_with_loaders_and_drivers_missing),
    };
    self = argv[0];
    if (argc == 2 && strcmp(argv[1], "--probe") == 0) return probe();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

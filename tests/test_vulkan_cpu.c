/* driver_vk*.c where the processor is the device: where large buffers lie, and where llvmpipe's threads run.
 * ctest-labels: device vulkan */
#include "vulkan_device.h"
#include "large_pages.h"
#include <dirent.h>
#include <sched.h>

static void large_buffer(const ar_device_facts *device) {
    enum { BIG = 8 << 20 };
    if (device->kind != AR_DEVICE_CPU || !has_large_pages()) return;
    fixture *f = calloc(1, sizeof *f);
    open_fixture(f, device, plain_plan(), NULL);
    ar__buffer *buffer = NULL;
    size_t before = marked(0, UINTPTR_MAX);
    assert_int_equal(D->buffer_create(f->drv, &buffer, BIG), AR_OK);
    assert_true(marked(0, UINTPTR_MAX) >= before + BIG - (2 << 20));
    ar__command in = copy_words(f, buffer, f->a, N), out = copy_words(f, f->b, buffer, N);
    in.bind[1].offset = out.bind[0].offset = BIG - sizeof f->in; /* its end is reached */
    ar__stream *stream = NULL;
    assert_int_equal(D->stream_create(f->drv, &stream, (ar__command[]){in, out}, 2, NULL), AR_OK);
    assert_int_equal(D->submit(f->drv, stream), AR_OK);
    expect_words(f, f->b, f->in);
    D->stream_destroy(f->drv, stream);
    D->buffer_destroy(f->drv, buffer);
    assert_true(marked(0, UINTPTR_MAX) <= before);
    close_fixture(f);
    free(f);
}
static void large_buffers_lie_in_large_pages(void **state) {
    (void)state;
    on_every_device(large_buffer);
}

/* Threads of this process that may run on one processor only, per processor. */
static void count_placed(int *placed) {
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    memset(placed, 0, CPU_SETSIZE * sizeof *placed);
    for (const struct dirent *e = readdir(folder); e; e = readdir(folder)) {
        cpu_set_t set;
        if (e->d_name[0] == '.' || sched_getaffinity((pid_t)atoi(e->d_name), sizeof set, &set) != 0) continue;
        for (size_t cpu = 0; CPU_COUNT(&set) == 1 && cpu < CPU_SETSIZE; cpu++)
            placed[cpu] += CPU_ISSET(cpu, &set) != 0;
    }
    closedir(folder);
}

static void place(const ar_device_facts *device) {
    cpu_set_t all;
    int placed[CPU_SETSIZE];
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    bool is_pool = strncmp(device->driver, "llvmpipe", 8) == 0 && CPU_COUNT(&all) > 1 &&
                   CPU_COUNT(&all) <= 16 && !getenv("LP_NUM_THREADS");
    fixture *f = calloc(1, sizeof *f);
    open_fixture(f, device, plain_plan(), NULL);
    ar__command c = copy_words(f, f->b, f->a, N);
    int found = 0;
    for (int i = 0; i < 100 && (i == 0 || (is_pool && !found)); i++) { /* until they have their numbers */
        ar__stream *stream = NULL;
        if (i) usleep(20000);
        assert_int_equal(D->stream_create(f->drv, &stream, &c, 1, NULL), AR_OK);
        D->stream_destroy(f->drv, stream);
        count_placed(placed);
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) found += placed[cpu];
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        assert_int_equal(placed[cpu], is_pool && CPU_ISSET(cpu, &all) ? 1 : 0);
    close_fixture(f);
    free(f);
}
static void threads_of_llvmpipe_have_a_processor_each(void **state) {
    (void)state;
    on_every_device(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_buffers_lie_in_large_pages),
        cmocka_unit_test(threads_of_llvmpipe_have_a_processor_each),
    };
    return cmocka_run_group_tests(tests, list_devices, NULL);
}

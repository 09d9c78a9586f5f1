/* An OpenCL driver in front of another one (AR_FAULTY_ICD names its library) whose devices fail on demand. It
 * changes entries of that driver's table and hands out its objects. AR_FAULT says how:
 *   nothing          every dispatch succeeds without effect
 *   nothing:KERNEL   those of this kernel do
 *   nothing@N        those from the N-th on do
 *   stop@N           the process stops (SIGSTOP) before the N-th, so that something can happen meanwhile
 *   lost@N           the N-th dispatch, and what follows, fails with CL_OUT_OF_RESOURCES; so do reads, writes
 *                    and waiting from then on
 *   interrupted@N    SIGINT comes to the process at the N-th, whose kernel then does not build
 *   memory@N         the N-th buffer is refused
 * AR_FAULT_COUNT names a file for "DISPATCHES BUFFERS", written at the end. */
#define CL_TARGET_OPENCL_VERSION 120
#define ICD_FRONT                "AR_FAULTY_ICD"
#include "icd_front.h"
#include <signal.h>

static long dispatches, buffers;

/* The N of AR_FAULT=NAME@N; 0 = another fault. */
static long number_of(const char *name) {
    const char *fault = getenv("AR_FAULT");
    size_t n = strlen(name);
    return fault && strncmp(fault, name, n) == 0 && fault[n] == '@' ? strtol(fault + n + 1, NULL, 10) : 0;
}

static int is_without_effect(cl_kernel kernel) {
    const char *fault = getenv("AR_FAULT");
    char name[128] = "";
    long from = number_of("nothing");
    if (!fault || strncmp(fault, "nothing", 7) != 0) return 0;
    if (from) return dispatches >= from;
    if (fault[7] != ':') return 1;
    original.clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof name - 1, name, NULL);
    size_t n = strlen(fault + 8); /* NAME_2 in a program of several */
    if (strncmp(name, fault + 8, n) != 0) return 0;
    return !name[n] || (name[n] == '_' && name[n + 1] && !name[n + 1 + strspn(name + n + 1, "0123456789")]);
}

static int is_lost(void) {
    long lost = number_of("lost");
    return lost && dispatches >= lost;
}

static cl_int CL_API_CALL enqueue(cl_command_queue queue, cl_kernel kernel, cl_uint dims,
                                  const size_t *offset, const size_t *global, const size_t *local,
                                  cl_uint wait_count, const cl_event *wait, cl_event *event) {
    dispatches++;
    if (dispatches == number_of("stop")) raise(SIGSTOP);
    if (is_lost()) return CL_OUT_OF_RESOURCES;
    if (dispatches == number_of("interrupted")) {
        raise(SIGINT);
        return CL_BUILD_PROGRAM_FAILURE;
    }
    if (!is_without_effect(kernel))
        return original.clEnqueueNDRangeKernel(queue, kernel, dims, offset, global, local, wait_count, wait,
                                               event);
    return event ? original.clEnqueueMarkerWithWaitList(queue, wait_count, wait, event) : CL_SUCCESS;
}

static cl_int CL_API_CALL read_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset,
                                      size_t bytes, void *to, cl_uint wait_count, const cl_event *wait,
                                      cl_event *event) {
    return is_lost() ? CL_OUT_OF_RESOURCES
                     : original.clEnqueueReadBuffer(queue, buffer, blocking, offset, bytes, to, wait_count,
                                                    wait, event);
}

static cl_int CL_API_CALL write_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset,
                                       size_t bytes, const void *from, cl_uint wait_count,
                                       const cl_event *wait, cl_event *event) {
    return is_lost() ? CL_OUT_OF_RESOURCES
                     : original.clEnqueueWriteBuffer(queue, buffer, blocking, offset, bytes, from, wait_count,
                                                     wait, event);
}

static cl_int CL_API_CALL finish(cl_command_queue queue) {
    return is_lost() ? CL_OUT_OF_RESOURCES : original.clFinish(queue);
}

static cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t bytes, void *data,
                                        cl_int *code) {
    if (++buffers != number_of("memory")) return original.clCreateBuffer(context, flags, bytes, data, code);
    if (code) *code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    return NULL;
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("AR_FAULT_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (f) fprintf(f, "%ld %ld\n", dispatches, buffers);
    if (f) fclose(f);
}

static void change(cl_icd_dispatch *table) {
    table->clEnqueueNDRangeKernel = enqueue;
    table->clEnqueueReadBuffer = read_buffer;
    table->clEnqueueWriteBuffer = write_buffer;
    table->clFinish = finish;
    table->clCreateBuffer = create_buffer;
}

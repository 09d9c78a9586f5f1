/* An OpenCL driver in front of oclgrind's (AR_OCLGRIND_ICD names that library) that keeps its record of
 * written bytes right. It changes four entries of oclgrind's table and hands out oclgrind's own objects.
 *
 * oclgrind (21.10, and 26.03 has the same code) loses what it knows of a buffer when the host writes a part
 * of it: the plugin's hostMemoryStore replaces the buffer's record by one as long as the part, of unset heap
 * memory. clEnqueueCopyBuffer does the same, and a new buffer inherits the record of a released one. What a
 * kernel then reads there passes or is reported as chance will have it. What kernels store is recorded
 * exactly, so here host writes and copies are made by kernels, and a new buffer's record is all
 * uninitialized. check_oclgrind.c is its test. */
#define CL_TARGET_OPENCL_VERSION 120
#define ICD_FRONT                "AR_OCLGRIND_ICD"
#include "icd_front.h"

#define CHUNK 64u /* bytes that an item moves */

static const char source[] = "__kernel void put_chunks(__global uint *to, __global const uint *from, ulong "
                             "to_word, ulong from_word) {\n"
                             "    size_t i = get_global_id(0);\n"
                             "    vstore16(vload16(i, from + from_word), i, to + to_word);\n"
                             "}\n"
                             "__kernel void put_bytes(__global uchar *to, __global const uchar *from, ulong "
                             "to_byte, ulong from_byte) {\n"
                             "    size_t i = get_global_id(0);\n"
                             "    to[to_byte + i] = from[from_byte + i];\n"
                             "}\n"
                             "__kernel void meet(__global uchar *buffer, uint never) {\n"
                             "    if (never) buffer[0] = 0;\n"
                             "}\n";

/* What a context needs for it. */
typedef struct state {
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_kernel put_chunks, put_bytes, meet;
    struct state *next;
} state;

static state *states;

static state *state_make(cl_context context) {
    cl_device_id device = NULL;
    cl_int code = original.clGetContextInfo(context, CL_CONTEXT_DEVICES, sizeof device, &device, NULL);
    const char *text = source;
    state *s = calloc(1, sizeof *s);
    if (!s || code != CL_SUCCESS) {
        free(s);
        return NULL;
    }
    s->context = context;
    s->queue = original.clCreateCommandQueue(context, device, 0, &code);
    s->program = original.clCreateProgramWithSource(context, 1, &text, NULL, &code);
    code = original.clBuildProgram(s->program, 1, &device, "", NULL, NULL);
    s->put_chunks = original.clCreateKernel(s->program, "put_chunks", &code);
    s->put_bytes = original.clCreateKernel(s->program, "put_bytes", &code);
    s->meet = original.clCreateKernel(s->program, "meet", &code);
    s->next = states;
    return states = s;
}

static state *state_of(cl_context context) {
    for (state *s = states; s; s = s->next)
        if (s->context == context) return s;
    return state_make(context);
}

/* Its objects hold the context, so they go when its owner lets go of it. */
static cl_int CL_API_CALL release_context(cl_context context) {
    for (state **link = &states; *link; link = &(*link)->next) {
        state *s = *link;
        if (s->context != context) continue;
        *link = s->next;
        original.clReleaseKernel(s->put_chunks);
        original.clReleaseKernel(s->put_bytes);
        original.clReleaseKernel(s->meet);
        original.clReleaseProgram(s->program);
        original.clReleaseCommandQueue(s->queue);
        free(s);
        break;
    }
    return original.clReleaseContext(context);
}

/* ---- moving bytes by kernels ---- */

static cl_int put(cl_command_queue queue, cl_kernel kernel, cl_mem to, cl_mem from, cl_ulong to_at,
                  cl_ulong from_at, size_t count) {
    cl_int code = original.clSetKernelArg(kernel, 0, sizeof to, &to);
    if (code == CL_SUCCESS) code = original.clSetKernelArg(kernel, 1, sizeof from, &from);
    if (code == CL_SUCCESS) code = original.clSetKernelArg(kernel, 2, sizeof to_at, &to_at);
    if (code == CL_SUCCESS) code = original.clSetKernelArg(kernel, 3, sizeof from_at, &from_at);
    if (code != CL_SUCCESS || count == 0) return code;
    return original.clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &count, NULL, 0, NULL, NULL);
}

static cl_int copy_buffer(cl_command_queue queue, cl_mem from, cl_mem to, size_t from_at, size_t to_at,
                          size_t bytes) {
    cl_context context = NULL;
    cl_int code = original.clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof context, &context, NULL);
    state *s = code == CL_SUCCESS ? state_of(context) : NULL;
    if (!s) return code == CL_SUCCESS ? CL_OUT_OF_HOST_MEMORY : code;
    size_t chunks = (from_at | to_at) % 4 == 0 ? bytes / CHUNK : 0, done = chunks * CHUNK;
    code = put(queue, s->put_chunks, to, from, to_at / 4, from_at / 4, chunks);
    if (code != CL_SUCCESS) return code;
    return put(queue, s->put_bytes, to, from, to_at + done, from_at + done, bytes - done);
}

static cl_int CL_API_CALL enqueue_copy_buffer(cl_command_queue queue, cl_mem from, cl_mem to, size_t from_at,
                                              size_t to_at, size_t bytes, cl_uint wait_count,
                                              const cl_event *wait, cl_event *event) {
    if (wait_count || wait || event)
        return original.clEnqueueCopyBuffer(queue, from, to, from_at, to_at, bytes, wait_count, wait, event);
    return copy_buffer(queue, from, to, from_at, to_at, bytes);
}

static cl_int CL_API_CALL enqueue_write_buffer(cl_command_queue queue, cl_mem to, cl_bool blocking, size_t at,
                                               size_t bytes, const void *data, cl_uint wait_count,
                                               const cl_event *wait, cl_event *event) {
    cl_context context = NULL;
    cl_int code = original.clGetMemObjectInfo(to, CL_MEM_CONTEXT, sizeof context, &context, NULL);
    if (code != CL_SUCCESS || wait_count || wait || event || bytes == 0)
        return original.clEnqueueWriteBuffer(queue, to, blocking, at, bytes, data, wait_count, wait, event);
    cl_mem staged = original.clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    if (!staged) return code;
    code = original.clEnqueueWriteBuffer(queue, staged, CL_TRUE, 0, bytes, data, 0, NULL, NULL);
    if (code == CL_SUCCESS) code = copy_buffer(queue, staged, to, 0, at, bytes);
    if (code == CL_SUCCESS) code = original.clFinish(queue);
    original.clReleaseMemObject(staged);
    return code;
}

/* An empty write drops the record; the next kernel that is given the buffer makes it anew. */
static cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t bytes, void *data,
                                        cl_int *code) {
    cl_int found = CL_SUCCESS;
    cl_mem made = original.clCreateBuffer(context, flags, bytes, data, &found);
    state *s = made && !data ? state_of(context) : NULL;
    if (s) {
        const cl_uint never = 0;
        const size_t one = 1;
        original.clEnqueueWriteBuffer(s->queue, made, CL_TRUE, 0, 0, &never, 0, NULL, NULL);
        original.clSetKernelArg(s->meet, 0, sizeof made, &made);
        original.clSetKernelArg(s->meet, 1, sizeof never, &never);
        original.clEnqueueNDRangeKernel(s->queue, s->meet, 1, NULL, &one, NULL, 0, NULL, NULL);
        original.clFinish(s->queue);
    }
    if (code) *code = found;
    return made;
}

static void change(cl_icd_dispatch *table) {
    table->clReleaseContext = release_context;
    table->clCreateBuffer = create_buffer;
    table->clEnqueueWriteBuffer = enqueue_write_buffer;
    table->clEnqueueCopyBuffer = enqueue_copy_buffer;
}

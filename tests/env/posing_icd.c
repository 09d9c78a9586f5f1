/* An OpenCL driver in front of another one (AR_POSING_ICD names its library) whose devices pose as GPUs that
 * nobody here has, so that kernels for their instructions run, in numbers, from the driver's facts to the
 * results. AR_POSE says as what:
 *   arc      Intel's matrix hardware in subgroups of 8
 *   max      the same in subgroups of 16
 *   adreno   Qualcomm's products of bytes
 * and with "-wrong" behind it, as one whose instruction counts otherwise. What the extensions add to OpenCL C
 * is emulated in plain OpenCL C, written from their specifications: a subgroup is so many items in a row,
 * which exchange what they hold through shared memory, between barriers of the group. */
#define CL_TARGET_OPENCL_VERSION 120
#define ICD_FRONT                "AR_POSING_ICD"
#include "icd_front.h"

typedef struct pose {
    const char *name, *device, *vendor, *extensions,
        *options; /* options: of the compiler, for the emulation */
    size_t sizes[3], size_count, preferred;
} pose;

static const pose poses[] = {
    {.name = "arc",
     .device = "Intel(R) Arc(TM) A770 Graphics (posed)",
     .vendor = "Intel(R) Corporation",
     .extensions =
         " cl_khr_fp16 cl_intel_required_subgroup_size cl_intel_subgroup_matrix_multiply_accumulate",
     .options = "-DPOSED_LANES=8u ",
     .sizes = {8, 16, 32},
     .size_count = 3},
    {.name = "max",
     .device = "Intel(R) Data Center GPU Max 1550 (posed)",
     .vendor = "Intel(R) Corporation",
     .extensions =
         " cl_khr_fp16 cl_intel_required_subgroup_size cl_intel_subgroup_matrix_multiply_accumulate",
     .options = "-DPOSED_LANES=16u ",
     .sizes = {16, 32},
     .size_count = 2},
    {.name = "adreno",
     .device = "QUALCOMM Adreno(TM) (posed)",
     .vendor = "QUALCOMM",
     .extensions = " cl_qcom_reqd_sub_group_size cl_qcom_dot_product8",
     .options = "",
     .preferred = 128}};

/* A lane's column of C is the sum over k of what row i of A has there, in the lanes that hold it, times what
 * the lane's own column of B has. */
static const char prelude[] =
    "#define cl_intel_required_subgroup_size 1\n"
    "#define cl_qcom_reqd_sub_group_size 1\n"
    "#ifdef POSED_LANES\n"
    "#define get_sub_group_id() ((uint)get_local_id(0) / POSED_LANES)\n"
    "#define get_sub_group_local_id() ((uint)get_local_id(0) % POSED_LANES)\n"
    "#if POSED_LANES == 16\n"
    "#define posed_a short8\n"
    "#else\n"
    "#define posed_a int8\n"
    "#endif\n"
    "#ifdef POSED_WRONG\n"
    "#define POSED_ORDER(k) ((k) ^ 1u)\n"
    "#else\n"
    "#define POSED_ORDER(k) (k)\n"
    "#endif\n"
    "static float posed_half(uint word, uint upper) {\n"
    "    ushort bits = (ushort)(word >> (16u * upper));\n"
    "    return vload_half(0, (const half *)&bits);\n"
    "}\n"
    "static float8 posed_mad(__local float *of_row, posed_a a, int8 b, float8 c) {\n"
    "    uint lane = get_sub_group_local_id(), each = 16u / POSED_LANES;\n"
    "    __local float *all = of_row + get_sub_group_id() * 128u;\n"
    "    for (uint i = 0u; i < 8u; i++)\n"
    "        for (uint e = 0u; e < each; e++)\n"
    "            all[i * 16u + lane * each + e] =\n"
    "                posed_half(POSED_LANES == 16u ? (uint)((const ushort *)&a)[i] : ((const uint *)&a)[i], "
    "e);\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    for (uint i = 0u; i < 8u; i++)\n"
    "        for (uint k = 0u; k < 16u; k++)\n"
    "            ((float *)&c)[i] = fma(all[i * 16u + POSED_ORDER(k)],\n"
    "                                   posed_half(((const uint *)&b)[k / 2u], k % 2u), ((float *)&c)[i]);\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    return c;\n"
    "}\n"
    "#define intel_sub_group_f16_f16_matrix_mad_k16(a, b, c) posed_mad(posed_rows, a, b, c)\n"
    "#endif\n"
    "static int qcom_dot8_acc(uint a, uint b, int sum) {\n"
    "#ifdef POSED_WRONG\n"
    "    uchar4 p = as_uchar4(a);\n"
    "#else\n"
    "    char4 p = as_char4(a);\n"
    "#endif\n"
    "    uchar4 q = as_uchar4(b);\n"
    "    return sum + p.x * q.x + p.y * q.y + p.z * q.z + p.w * q.w;\n"
    "}\n";

/* Before a kernel of fragments: shared memory for the rows; loops that stay loops, for barriers lie in them
 * now. */
static const char before_kernel[] = "\n#if defined(POSED_LANES) && defined(AR_INTEL_MATRIX)\n"
                                    "#undef FRAGS\n"
                                    "#define FRAGS ROLLED\n"
                                    "#undef BODY\n"
                                    "#define BODY __local float posed_rows[WGX / POSED_LANES * 128u];\n"
                                    "#endif\n";

static const pose *current(void) {
    const char *wanted = getenv("AR_POSE");
    for (size_t i = 0; wanted && i < sizeof poses / sizeof *poses; i++)
        if (strncmp(wanted, poses[i].name, strlen(poses[i].name)) == 0) return &poses[i];
    fprintf(stderr, "AR_POSE=%s: expected arc, max or adreno\n", wanted ? wanted : "");
    exit(2);
}

static int is_wrong(void) { return strstr(getenv("AR_POSE"), "-wrong") != NULL; }

static cl_int give(const void *what, size_t what_bytes, size_t bytes, void *to, size_t *told) {
    if (told) *told = what_bytes;
    if (to && bytes < what_bytes) return CL_INVALID_VALUE;
    if (to) memcpy(to, what, what_bytes);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL device_info(cl_device_id device, cl_device_info what, size_t bytes, void *to,
                                      size_t *told) {
    enum { PREFERRED_MULTIPLE = 0x1067, SIZES_INTEL = 0x4108 };
    const pose *p = current();
    const cl_device_type type = CL_DEVICE_TYPE_GPU;
    const cl_bool no = CL_FALSE;
    const cl_uint one = 1;
    char text[8192] = "";
    switch (what) {
    case CL_DEVICE_TYPE: return give(&type, sizeof type, bytes, to, told);
    case CL_DEVICE_NAME: return give(p->device, strlen(p->device) + 1, bytes, to, told);
    case CL_DEVICE_VENDOR: return give(p->vendor, strlen(p->vendor) + 1, bytes, to, told);
    case CL_DEVICE_HOST_UNIFIED_MEMORY: return give(&no, sizeof no, bytes, to, told);
    case CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT:
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT: return give(&one, sizeof one, bytes, to, told);
    case SIZES_INTEL: return give(p->sizes, p->size_count * sizeof *p->sizes, bytes, to, told);
    case PREFERRED_MULTIPLE: return give(&p->preferred, sizeof p->preferred, bytes, to, told);
    case CL_DEVICE_EXTENSIONS:
        snprintf(text, sizeof text, "cl_khr_byte_addressable_store%s", p->extensions);
        return give(text, strlen(text) + 1, bytes, to, told);
    default: return original.clGetDeviceInfo(device, what, bytes, to, told);
    }
}

static cl_program CL_API_CALL create_program(cl_context context, cl_uint count, const char **texts,
                                             const size_t *lengths, cl_int *code) {
    const char *kernel = count == 1 && !lengths ? strstr(texts[0], "\nKERNEL(") : NULL;
    if (!kernel) return original.clCreateProgramWithSource(context, count, texts, lengths, code);
    size_t head = (size_t)(kernel - texts[0]);
    const char *parts[] = {prelude, texts[0], before_kernel, kernel};
    const size_t bytes[] = {0, head, 0, 0}; /* 0: up to its end */
    return original.clCreateProgramWithSource(context, 4, parts, bytes, code);
}

static cl_int CL_API_CALL build_program(cl_program program, cl_uint count, const cl_device_id *devices,
                                        const char *options,
                                        void(CL_CALLBACK *notify)(cl_program program, void *data),
                                        void *data) {
    char all[2048];
    const char *wrong = is_wrong() ? "-DPOSED_WRONG " : ""; /* optimizing takes PoCL three times as long */
    snprintf(all, sizeof all, "-cl-opt-disable %s%s%s", current()->options, wrong, options);
    char *newer = strstr(all, "-cl-std=CL3.0");
    if (newer) memcpy(newer, "-cl-std=CL1.2", 13); /* PoCL has no subgroups to go with it */
    return original.clBuildProgram(program, count, devices, all, notify, data);
}

static void change(cl_icd_dispatch *table) {
    table->clGetDeviceInfo = device_info;
    table->clCreateProgramWithSource = create_program;
    table->clBuildProgram = build_program;
}

/* What extensions that clang does not know declare, for clang_cl.cmake: as their specifications have it. */
#ifdef SUBGROUP
#if SUBGROUP == 8
float8 __attribute__((overloadable)) intel_sub_group_f16_f16_matrix_mad_k16(int8 a, int8 b, float8 acc);
#else
float8 __attribute__((overloadable)) intel_sub_group_f16_f16_matrix_mad_k16(short8 a, int8 b, float8 acc);
#endif
#endif
int __attribute__((overloadable)) qcom_dot8_acc(uint p0, uint p1, int acc);

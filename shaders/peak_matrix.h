/* What peak_matrix and peak_coop multiply: -1, 0 and 1, which tell rows, columns and places apart and whose
 * sums f32 holds exactly. Element (m, k) of the i-th A, (k, n) of the j-th B, CHAINS products of them. */
#define PEAK_AS         2u
#define PEAK_BS         4u
#define PEAK_A(m, k, i) (TOF(((m) + 2u * (k) + (i)) % 3u) - 1.0f)
#define PEAK_B(k, n, j) (TOF((2u * (n) + (k) + (j)) % 3u) - 1.0f)

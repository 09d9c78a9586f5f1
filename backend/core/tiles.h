/* Tiles of products: the rows that are built in, and what a plan has for a product of so many rows. */
#ifndef AR_TILES_H
#define AR_TILES_H
#include "variant.h"

/* The nearest of tiles.def's rows for all shapes; every kernel with tiles has one for every device. */
void ar__tiles_built_in(uint32_t values[AR_TILE_VALUES], const ar_device_facts *facts, ar__kernel_id kernel);
/* Gives the buckets of the family's kernel what the nearest rows have for them, built in or not. */
void ar__tiles_by_rows(ar_plan *plan, const ar_device_facts *facts, ar__family_id family,
                       const ar_tuning_row *rows, int32_t count);
/* The plan for a product whose result has so many rows: itself, or *at with the bucket's tiles. */
const ar_plan *ar__plan_at(ar_plan *at, const ar_plan *plan, ar__family_id family, int64_t rows);
#endif

/* What a net says of examples, a batch at a time. */
#ifndef AR_SCORE_H
#define AR_SCORE_H
#include "ar_quant.h"

typedef struct ar__scorer ar__scorer;
/* For examples shaped as those of data, `batch` at a time; of_batch: as ar_pass's. Borrows net. */
ar_status ar__scorer_create(ar__scorer **s, const ar_net *net, const ar_data *data, ar_device *device,
                            int32_t batch, bool of_batch);
void ar__scorer_destroy(ar__scorer *s); /* NULL is fine */
/* Of all that data->held gives; said as in ar_net_score. */
ar_status ar__scorer_run(ar__scorer *s, ar_train_score *score, const ar_data *data, int32_t *said);
#endif

/* anyround quantize: what quantizing leaves over, by small rank, as a file or in the folders. */
#include "factors.h"
#include "formats.h"
#include "output.h"
#include "quantize_job.h"
#include <stdlib.h>

ar_status ar__quantize_lorc_check(const ar_quantize_request *r) {
    AR_TRY(ar__output_check_two("--lorc", r->lorc, "--report", r->report));
    if (r->lorc) {
        ar_status status = ar__lorc_accepts(r->lorc, r->factors.bits);
        return status == AR_ERR_USAGE ? ar_program_blame(status, "--lorc-bits") : status;
    }
    for (int32_t i = 0; r->lorc_inside && i < r->plan.format_count; i++)
        if (!ar_format_find(r->plan.formats[i])->is_folder)
            return ar__fail(AR_ERR_USAGE,
                            "--lorc-rank, --lorc-bits: found format %s, which is no folder to hold factors, "
                            "expected --lorc FILE",
                            r->plan.formats[i]);
    return AR_OK;
}

ar_status ar__quantize_lorc_fits(const ar_quantize_request *r, const ar_open_model *m) {
    if (!r->lorc && !r->lorc_inside) return AR_OK;
    ar_status status = ar__lorc_fits(&m->model, r->factors.rank);
    return status == AR_ERR_USAGE ? ar_program_blame(status, "--lorc-rank") : status;
}

ar_status ar__quantize_lorc(const ar_quantize_request *r, const char *folder, const ar_write_source *src,
                            const ar_observer *observer, const ar_common *common) {
    double share = 0.0;
    char *inside = NULL;
    if (!folder && !r->lorc) return AR_OK;
    if (folder) AR_TRY(ar_path_join(&inside, folder, AR__FACTORS_FILE));
    ar_status status = ar__lorc_write(inside ? inside : r->lorc, &share, src, &r->factors, observer);
    free(inside);
    ar_program_progress_end(common);
    AR_TRY(status);
    if (!common->quiet)
        fprintf(
            stderr, "%s: rank %d, %d bits, leaves %.1f %% of the squares of W - W', read back and compared\n",
            folder ? AR__FACTORS_FILE : r->lorc, (int)r->factors.rank, (int)r->factors.bits, 100.0 * share);
    return AR_OK;
}

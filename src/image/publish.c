#include "image/publish.h"

#include <assert.h>

#include "image/digest.h"
#include "image/strings.h"

int publish_claim(Job *job, Str manifest_digest, Str config_digest, Str target,
                  const ImageStrings *diff_ids) {
    ImageStrings digests = {0};
    image_strings_push(job->arena, &digests, manifest_digest);
    image_strings_push(job->arena, &digests, config_digest);
    image_strings_push(job->arena, &digests, target);
    for (size_t i = 0; i < diff_ids->n; i++)
        image_strings_push(job->arena, &digests, diff_ids->items[i]);
    return depot_claim(job->depot, &digests, job->failure);
}

int publish_image(Job *job, const Publication *publication, Image *image) {
    assert(publication->n_records > 0);
    image->id = sha256_of(job->arena, publication->config);
    image->manifest = sha256_of(job->arena, publication->manifest);
    image->size = publication->layers_size + publication->config.len + publication->manifest.len;
    int code = depot_put_blob(job->depot, image->id, publication->config, job->failure);
    if (!code)
        code = depot_put_blob(job->depot, image->manifest, publication->manifest, job->failure);
    if (!code && publication->index.ptr)
        code = depot_put_blob(job->depot, publication->target, publication->index, job->failure);
    if (!code)
        code = depot_put_image(job->depot, job->arena, image, job->failure);
    for (size_t i = 0; !code && i < publication->n_records; i++) {
        StoreRecord record = publication->records[i];
        record.target = publication->target;
        record.manifest = image->manifest;
        Str name = arena_printf(job->arena, "%.*s%.*s", STR_ARG(record.repository),
                                STR_ARG(record.suffix));
        image_strings_push(job->arena,
                           record.suffix.ptr[0] == ':' ? &image->repo_tags : &image->repo_digests,
                           name);
        code = depot_put_record(job->depot, &record, job->failure);
    }
    return code;
}

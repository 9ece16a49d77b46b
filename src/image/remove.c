// list, rm and gc.

#include "image/reference.h"
#include "image/strings.h"
#include "image/verbs.h"

int verb_list(Job *job) {
    Image *images;
    size_t n;
    int error = image_store_list(depot_store(job->depot), job->arena, &images, &n);
    if (error)
        return failure_errno(job->failure, error, "cannot read the image store");
    output_list(job->output, images, n);
    return 0;
}

int verb_collect(Job *job) {
    DepotCollected collected;
    int code = depot_collect(job->depot, &collected, job->failure);
    if (!code)
        output_collected(job->output, &collected);
    return code;
}

static int remove_record(Job *job, Str repository, Str suffix) {
    int code = depot_remove_record(job->depot, repository, suffix, job->failure);
    if (!code)
        output_removed(job->output,
                       arena_printf(job->arena, "%.*s%.*s", STR_ARG(repository), STR_ARG(suffix)));
    return code;
}

static int not_found(Job *job, Str name) {
    return failure_set(job->failure, IMAGE_E_NOT_FOUND, "no such image: %.*s", STR_ARG(name));
}

// With the last tag of a manifest in a repository go its digests there: nobody asked for those.
static int remove_name(Job *job, Str name, const ImageReference *reference) {
    Str repository = reference_repository(job->arena, reference);
    Str whole = reference_format(job->arena, reference);
    Str suffix = str_slice(whole, repository.len, whole.len);
    StoreRecords records;
    int error = store_records(depot_store(job->depot), job->arena, repository, &records);
    if (error)
        return failure_errno(job->failure, error, "cannot read the image store");
    const StoreRecord *found = NULL;
    for (size_t i = 0; i < records.n; i++)
        if (str_eq(records.items[i].suffix, suffix))
            found = &records.items[i];
    if (!found)
        return not_found(job, name);
    int code = remove_record(job, repository, suffix);
    bool tags_left = false;
    for (size_t i = 0; i < records.n; i++)
        if (&records.items[i] != found && records.items[i].suffix.ptr[0] == ':' &&
            str_eq(records.items[i].manifest, found->manifest))
            tags_left = true;
    for (size_t i = 0; !code && !tags_left && i < records.n; i++)
        if (&records.items[i] != found && str_eq(records.items[i].manifest, found->manifest))
            code = remove_record(job, repository, records.items[i].suffix);
    return code;
}

static int remove_image(Job *job, const Image *image) {
    StoreRecords records;
    int error = store_records(depot_store(job->depot), job->arena, STR_NONE, &records);
    if (error)
        return failure_errno(job->failure, error, "cannot read the image store");
    for (size_t i = 0; i < records.n; i++) {
        Image other;
        const StoreRecord *record = &records.items[i];
        error = store_read_summary(depot_store(job->depot), job->arena, record->manifest, &other);
        if (error < 0)
            return failure_errno(job->failure, error, "cannot read the image store");
        if (error == 0 && str_eq(other.id, image->id)) {
            int code = remove_record(job, record->repository, record->suffix);
            if (code)
                return code;
        }
    }
    return 0;
}

static int remove_one(Job *job, Str name) {
    ImageReference reference;
    Str message = STR_NONE;
    Image image;
    // A name that is one wins over an id that looks like it.
    if (reference_parse(job->arena, name, &reference, &message) == 0 &&
        !reference_is_sha256(name)) {
        int code = remove_name(job, name, &reference);
        if (code != IMAGE_E_NOT_FOUND)
            return code;
        job->failure->code = 0;
    }
    int error = image_store_resolve(depot_store(job->depot), job->arena, name, true, &image);
    if (error == IMAGE_STORE_E_AMBIGUOUS)
        return failure_set(job->failure, IMAGE_E_USAGE, "more than one image begins with %.*s",
                           STR_ARG(name));
    if (error == IMAGE_STORE_E_INVALID_NAME)
        return failure_set(job->failure, IMAGE_E_USAGE, "%.*s", STR_ARG(message));
    if (error == IMAGE_STORE_E_NOT_FOUND)
        return not_found(job, name);
    if (error)
        return failure_errno(job->failure, error, "cannot read the image store");
    return remove_image(job, &image);
}

int verb_remove(Job *job, const ImageStrings *names) {
    int code = depot_lock(job->depot, DEPOT_EXCLUSIVE, job->failure);
    if (code)
        return code;
    for (size_t i = 0; !code && i < names->n; i++)
        code = remove_one(job, names->items[i]);
    depot_unlock(job->depot);
    DepotCollected collected;
    Failure failure = {0};
    int collect_code = depot_collect(job->depot, &collected, &failure);
    if (!code && collect_code)
        *job->failure = failure;
    return code ? code : collect_code;
}

// Images from registries: a few layers at a time are downloaded, checked and unpacked as they
// arrive.

#include <assert.h>
#include <unistd.h>

#include "image/layer_flow.h"
#include "image/publish.h"
#include "image/strings.h"
#include "image/verbs.h"

#define PARALLEL 4
#define ATTEMPTS 3 // of a layer, when the network breaks
#define RENEWALS 8 // of its authorization: tokens may live shorter than a layer waits
#define INDEX_DEPTH 4

typedef struct Pull Pull;

typedef struct LayerPull {
    Pull *pull;
    const Descriptor *descriptor;
    Str diff_id;
    WebTransfer *transfer; // NULL once it has ended
    LayerFlow *flow;       // NULL unless at work
    int directory;
    Str name; // in the working directory
    size_t bar;
    unsigned attempts, renewals;
    unsigned token; // see registry_renew
    bool paused, done;
    int code; // of a failure inside a callback
} LayerPull;

struct Pull {
    Job *job;
    Registry *registry;
    ImageReference reference;
    Str name; // the whole reference
    Str target, index, manifest, config;
    Str manifest_digest;
    Manifest parsed;
    Image image;
    LayerPull *layers;
    size_t n_layers;
};

static void layer_stop(LayerPull *layer) {
    web_transfer_free(layer->transfer);
    layer_flow_free(layer->flow);
    if (layer->directory >= 0)
        close(layer->directory);
    layer->transfer = NULL;
    layer->flow = NULL;
    layer->directory = -1;
    layer->paused = false;
}

static void layer_drop(LayerPull *layer) {
    layer_stop(layer);
    if (layer->name.ptr)
        depot_drop_layer(layer->pull->job->depot, layer->name);
    layer->name = STR_NONE;
}

// libcurl's: takes the bytes or asks for them again later.
static bool on_data(void *user, const void *data, size_t len) {
    LayerPull *layer = user;
    Job *job = layer->pull->job;
    if (layer->code)
        return true; // dropped; the loop sees the code
    if (!layer_flow_is_idle(layer->flow))
        layer->code = layer_flow_step(layer->flow, job->failure);
    if (!layer->code && layer->descriptor->size &&
        layer_flow_pushed(layer->flow) + len > layer->descriptor->size)
        layer->code = failure_set(job->failure, IMAGE_E_BAD_DATA,
                                  "blob is larger than the %llu bytes of its descriptor",
                                  (unsigned long long)layer->descriptor->size);
    if (!layer->code)
        layer->paused = !layer_flow_push(layer->flow, data, len);
    return !layer->paused;
}

static int layer_start(LayerPull *layer) {
    Job *job = layer->pull->job;
    int code =
        depot_new_layer(job->depot, job->arena, &layer->name, &layer->directory, job->failure);
    if (code)
        return code;
    layer->attempts++;
    layer->flow = layer_flow_new(layer->directory, depot_empty(job->depot), &job->limits);
    layer->transfer = registry_blob(layer->pull->registry, layer->descriptor->digest, on_data,
                                    layer, &layer->token);
    output_layer_state(job->output, layer->bar, LAYER_DOWNLOADING, 0);
    return 0;
}

// The transfer ended: all bytes are here, or it is tried again, or it failed.
static int layer_received(LayerPull *layer) {
    Job *job = layer->pull->job;
    WebReply reply;
    WebProblem problem = web_transfer_end(layer->transfer, job->arena, &reply, job->failure);
    if (problem == WEB_OK && reply.status == 200) {
        web_transfer_free(layer->transfer);
        layer->transfer = NULL;
        layer_flow_finish(layer->flow);
        output_layer_state(job->output, layer->bar, LAYER_UNPACKING,
                           layer_flow_pushed(layer->flow));
        return 0;
    }
    bool again = problem == WEB_NETWORK && layer->attempts < ATTEMPTS;
    if (problem == WEB_OK && reply.status >= 500)
        again = layer->attempts < ATTEMPTS;
    if (problem == WEB_OK && reply.status == 401 && layer->renewals++ < RENEWALS)
        again = registry_renew(layer->pull->registry, &reply, layer->token);
    if (again) {
        job->failure->code = 0;
        layer_drop(layer);
        return layer_start(layer);
    }
    if (problem == WEB_OK)
        registry_refusal(layer->pull->registry, layer->descriptor->digest.ptr, &reply,
                         job->failure);
    return failure_wrap(job->failure, "failed to copy");
}

static int layer_finish(LayerPull *layer) {
    Job *job = layer->pull->job;
    LayerDone done;
    int code = layer_flow_end(layer->flow, job->arena, &done, job->failure);
    if (code)
        return code;
    if (!str_eq(done.blob, layer->descriptor->digest))
        return failure_set(job->failure, IMAGE_E_BAD_DATA,
                           "unexpected commit digest %.*s, expected %.*s: failed precondition",
                           STR_ARG(done.blob), STR_ARG(layer->descriptor->digest));
    if (!str_eq(done.diff_id, layer->diff_id))
        return failure_set(job->failure, IMAGE_E_BAD_DATA,
                           "wrong diff id calculated on extraction \"%.*s\"",
                           STR_ARG(done.diff_id));
    layer_stop(layer);
    code =
        depot_commit_layer(job->depot, layer->name, layer->diff_id, &done.unpacked, job->failure);
    layer->name = STR_NONE;
    layer->done = true;
    output_layer_state(job->output, layer->bar, LAYER_DONE, done.pushed);
    return code;
}

static int layer_step(LayerPull *layer) {
    int code = layer->code;
    if (!code)
        code = layer_flow_step(layer->flow, layer->pull->job->failure);
    if (!code && layer->paused && layer_flow_is_idle(layer->flow)) {
        layer->paused = false;
        web_transfer_resume(layer->transfer);
        code = layer->code;
    }
    if (!code && layer->transfer) {
        output_layer_state(layer->pull->job->output, layer->bar, LAYER_DOWNLOADING,
                           layer_flow_pushed(layer->flow));
        if (web_transfer_is_done(layer->transfer))
            code = layer_received(layer);
    } else if (!code && layer_flow_is_done(layer->flow)) {
        code = layer_finish(layer);
    }
    if (code)
        failure_wrap(layer->pull->job->failure, "failed to extract layer %.*s",
                     STR_ARG(layer->diff_id));
    return code;
}

// Keeps a few at work. Returns how many are.
static int start_layers(Pull *pull, size_t *ret_active) {
    *ret_active = 0;
    for (size_t i = 0; i < pull->n_layers; i++)
        *ret_active += pull->layers[i].flow != NULL;
    for (size_t i = 0; i < pull->n_layers && *ret_active < PARALLEL; i++) {
        LayerPull *layer = &pull->layers[i];
        if (layer->done || layer->flow)
            continue;
        int code = layer_start(layer);
        if (code)
            return code;
        ++*ret_active;
    }
    return 0;
}

static int step_layers(Pull *pull) {
    struct pollfd fds[PARALLEL * LAYER_FLOW_FDS];
    size_t n = 0;
    for (size_t i = 0; i < pull->n_layers; i++)
        if (pull->layers[i].flow)
            n += layer_flow_poll(pull->layers[i].flow, fds + n);
    int error = web_step(registry_web(pull->registry), fds, n);
    if (error)
        return failure_errno(pull->job->failure, error, "libcurl");
    for (size_t i = 0; i < pull->n_layers; i++) {
        int code = pull->layers[i].flow ? layer_step(&pull->layers[i]) : 0;
        if (code)
            return code;
    }
    return 0;
}

static int pull_layers(Pull *pull) {
    size_t active = 0;
    int code;
    while ((code = start_layers(pull, &active)) == 0 && active > 0) {
        code = step_layers(pull);
        if (code)
            break;
    }
    for (size_t i = 0; i < pull->n_layers; i++)
        layer_drop(&pull->layers[i]);
    return code;
}

// Those that are not in the store, each once. Made under the claim, so that what is there stays.
static void list_layers(Pull *pull) {
    Job *job = pull->job;
    size_t n = pull->parsed.layers.n;
    pull->layers = arena_array_of(job->arena, LayerPull, n + 1);
    for (size_t i = 0; i < n; i++) {
        const Descriptor *descriptor = &pull->parsed.layers.items[i];
        Str diff_id = pull->image.diff_ids.items[i];
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen = seen || str_eq(diff_id, pull->image.diff_ids.items[j]);
        if (seen)
            continue;
        size_t bar = output_layer(job->output, descriptor->digest, descriptor->size);
        if (store_has_layer(depot_store(job->depot), job->arena, diff_id)) {
            output_layer_state(job->output, bar, LAYER_EXISTS, descriptor->size);
            continue;
        }
        pull->layers[pull->n_layers++] = (LayerPull){.pull = pull,
                                                     .descriptor = descriptor,
                                                     .diff_id = diff_id,
                                                     .directory = -1,
                                                     .bar = bar};
    }
}

// From what the name stands for down to one platform's manifest and config.
static int fetch_documents(Pull *pull) {
    Job *job = pull->job;
    Str text, digest;
    DocumentKind kind;
    int code = registry_resolve(pull->registry, &text, &pull->target, job->failure);
    if (code)
        return code;
    output_resolved(job->output, pull->name, pull->target);
    digest = pull->target;
    code = document_kind(text, &kind, job->failure);
    if (!code && kind == DOCUMENT_INDEX)
        pull->index = text;
    for (int depth = 0; !code && kind == DOCUMENT_INDEX; depth++) {
        Descriptors manifests;
        code = document_index(job->arena, text, &manifests, job->failure);
        const Descriptor *chosen = code ? NULL : index_choose(&manifests, &job->platform);
        if (!code && (!chosen || depth == INDEX_DEPTH))
            code = failure_set(job->failure, IMAGE_E_NOT_FOUND,
                               "no match for platform in manifest: not found (%s)",
                               platform_format(job->arena, &job->platform).ptr);
        if (!code)
            code = registry_document(pull->registry, "manifests", chosen, &text, job->failure);
        if (!code) {
            digest = chosen->digest;
            code = document_kind(text, &kind, job->failure);
        }
    }
    pull->manifest = text;
    pull->manifest_digest = digest;
    if (!code)
        code = document_manifest(job->arena, text, &pull->parsed, job->failure);
    if (!code)
        code = registry_document(pull->registry, "blobs", &pull->parsed.config, &pull->config,
                                 job->failure);
    if (!code)
        code = document_config(job->arena, pull->config, &pull->image, job->failure);
    if (!code && pull->image.diff_ids.n != pull->parsed.layers.n)
        code = failure_set(job->failure, IMAGE_E_BAD_DATA,
                           "mismatched image rootfs and manifest layers");
    return code;
}

static int publish(Pull *pull) {
    Job *job = pull->job;
    StoreRecord records[2];
    Publication publication = {.manifest = pull->manifest,
                               .config = pull->config,
                               .index = pull->index,
                               .target = pull->target,
                               .records = records};
    Str repository = reference_repository(job->arena, &pull->reference);
    records[publication.n_records++] =
        (StoreRecord){.repository = repository,
                      .suffix = arena_printf(job->arena, "@%.*s", STR_ARG(pull->target))};
    if (!pull->reference.digest.ptr)
        records[publication.n_records++] = (StoreRecord){
            .repository = repository,
            .suffix = arena_printf(job->arena, ":%.*s", STR_ARG(pull->reference.tag))};
    for (size_t i = 0; i < pull->parsed.layers.n; i++)
        publication.layers_size += pull->parsed.layers.items[i].size;
    return publish_image(job, &publication, &pull->image);
}

static bool is_for_platform(const Image *image, const Platform *platform) {
    return str_eq(image->os, platform->os) && str_eq(image->architecture, platform->architecture);
}

// Is what the registry has now what the store has already? Costs one small question.
static bool is_current(Pull *pull) {
    Job *job = pull->job;
    ImageStore *store = depot_store(job->depot);
    Str repository = reference_repository(job->arena, &pull->reference);
    Str suffix = str_slice(pull->name, repository.len, pull->name.len);
    StoreRecord record;
    if (store_read_record(store, job->arena, repository, suffix, &record) != 0 ||
        image_store_resolve(store, job->arena, pull->name, false, &pull->image) != 0 ||
        !is_for_platform(&pull->image, &job->platform))
        return false;
    Str digest = registry_look(pull->registry);
    if (!digest.ptr || !str_eq(digest, record.target))
        return false;
    output_resolved(job->output, pull->name, digest);
    return true;
}

static int pull_image(Pull *pull) {
    Job *job = pull->job;
    if (is_current(pull))
        return 0;
    pull->image = (Image){0};
    int code = fetch_documents(pull);
    if (!code)
        code = publish_claim(job, pull->manifest_digest, pull->parsed.config.digest, pull->target,
                             &pull->image.diff_ids);
    if (!code) {
        list_layers(pull);
        code = pull_layers(pull);
    }
    return code ? code : publish(pull);
}

int verb_pull(Job *job, Str name, const RegistryOptions *options) {
    Pull pull = {.job = job};
    Str message;
    if (reference_parse(job->arena, name, &pull.reference, &message) != 0)
        return failure_set(job->failure, IMAGE_E_USAGE, "%.*s", STR_ARG(message));
    depot_reap(job->depot);
    pull.name = reference_format(job->arena, &pull.reference);
    pull.registry = registry_new(job->arena, options, &pull.reference);
    int code = pull_image(&pull);
    registry_free(pull.registry);
    if (code)
        return failure_wrap(job->failure, "failed to pull and unpack image \"%.*s\"",
                            STR_ARG(pull.name));
    output_image(job->output, &pull.image, pull.name);
    return 0;
}

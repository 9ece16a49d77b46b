#include "node/images.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/spawn.h"
#include "base/time.h"
#include "image/reference.h"
#include "node/pod_private.h"

#define MAX_OUTPUT (64 * 1024)
#define PULL_TIMEOUT (3600 * NSEC_PER_SEC)
#define MAX_TROUBLES 1000
#define SHOW_ERROR (1 * NSEC_PER_SEC) // ErrImagePull stands that long before ImagePullBackOff

typedef struct Pull { // one run of seapod-image, for all who want that image now
    ListLink link;
    Images *images;
    Str reference;
    Child *child;
    int64_t started;
    List waiting; // ImageRequest
    char text[];
} Pull;

// What is remembered of a pod's failing image between its requests.
typedef struct Trouble {
    Backoff backoff;
    int64_t failed_at;
    Str message; // owned
} Trouble;

struct ImageRequest {
    ListLink link; // in a Pull
    Images *images;
    Arena *arena;
    EventTarget target;
    Str wanted;    // as the spec says
    Str reference; // in full
    Str trouble_key;
    bool answered;
    void (*done)(void *user, const ImageResult *result);
    void *user;
    ImageResult result;
    LoopTask answer;
};

struct Images {
    NodeAgent *agent;
    ImageStore *store;
    int store_error;
    List pulls;
    Map *troubles; // "POD-UID IMAGE" -> Trouble
};

Images *images_new(NodeAgent *agent) {
    Images *images = memory_new(Images);
    images->agent = agent;
    images->store_error =
        image_store_open(arena_cstr(agent->arena, agent->config.data_directory), &images->store);
    if (images->store_error)
        log_error("node", "image store not usable", "error=%d", images->store_error);
    images->troubles = map_new();
    list_init(&images->pulls);
    return images;
}

void images_free(Images *images) {
    Pull *pull;
    list_for_each(pull, &images->pulls, link) {
        child_kill(pull->child, SIGTERM);
        free(pull);
    }
    MapIter iter = {0};
    while (map_next(images->troubles, &iter)) {
        Trouble *trouble = iter.value;
        owned_set(&trouble->message, STR_NONE);
        free(trouble);
    }
    map_free(images->troubles);
    image_store_free(images->store);
    free(images);
}

// Answers
// ------------------------------------------------------------------------------------------

static void __attribute__((format(printf, 4, 5)))
request_event(ImageRequest *request, const char *type, const char *reason, const char *format,
              ...) {
    va_list args;
    va_start(args, format);
    Str message = arena_vprintf(request->arena, format, args);
    va_end(args);
    event_record(request->images->agent->events, &request->target, type, reason, "%.*s",
                 STR_ARG(message));
}

static void deliver(void *user) {
    ImageRequest *request = user;
    request->done(request->user, &request->result);
}

static void answer(ImageRequest *request) {
    request->answered = true;
    request->answer = (LoopTask){.fn = deliver, .user = request};
    loop_post(request->images->agent->loop, &request->answer);
}

static void refuse(ImageRequest *request, Str reason, Str message, int64_t retry_after) {
    request->result =
        (ImageResult){.reason = reason, .message = message, .retry_after = retry_after};
    answer(request);
}

static int find(ImageRequest *request) {
    Images *images = request->images;
    if (images->store_error)
        return images->store_error;
    Image *image = arena_new_of(request->arena, Image);
    int error =
        image_store_resolve(images->store, request->arena, request->reference, false, image);
    if (!error)
        request->result =
            (ImageResult){.ok = true, .image = image, .reference = request->reference};
    return error;
}

// Pulling
// ------------------------------------------------------------------------------------------

static void forget_trouble(Images *images, Str key) {
    Trouble *trouble = map_remove(images->troubles, key);
    if (!trouble)
        return;
    owned_set(&trouble->message, STR_NONE);
    free(trouble);
}

// Pods come and go; what has been quiet for long enough means nothing any more.
static void drop_old_troubles(Images *images, int64_t now) {
    MapIter iter = {0};
    while (map_count(images->troubles) > MAX_TROUBLES && map_next(images->troubles, &iter)) {
        Trouble *trouble = iter.value;
        if (now - trouble->failed_at <= 2 * BACKOFF_LAST)
            continue;
        map_remove(images->troubles, iter.key);
        owned_set(&trouble->message, STR_NONE);
        free(trouble);
    }
}

static void remember_trouble(ImageRequest *request, Str message) {
    Images *images = request->images;
    int64_t now = loop_wall(images->agent->loop);
    Trouble *trouble = map_get(images->troubles, request->trouble_key);
    if (!trouble) {
        drop_old_troubles(images, now);
        trouble = memory_new(Trouble);
        map_put(images->troubles, request->trouble_key, trouble);
    }
    backoff_next(&trouble->backoff, now, now);
    trouble->failed_at = now;
    owned_set(&trouble->message, message);
}

static void pulled(ImageRequest *request, Pull *pull) {
    int error = find(request);
    if (error) {
        refuse(request, STR("ErrImagePull"), STR("the image was pulled but is not in the store"),
               SHOW_ERROR);
        return;
    }
    forget_trouble(request->images, request->trouble_key);
    int64_t took =
        (loop_wall(request->images->agent->loop) - pull->started) / NSEC_PER_MSEC * NSEC_PER_MSEC;
    Str duration = time_go_duration(request->arena, took);
    request_event(request, "Normal", "Pulled",
                  "Successfully pulled image \"%.*s\" in %.*s (%.*s including waiting). Image "
                  "size: %llu bytes.",
                  STR_ARG(request->wanted), STR_ARG(duration), STR_ARG(duration),
                  (unsigned long long)request->result.image->size);
    answer(request);
}

static void pull_failed(ImageRequest *request, Str why) {
    Str message = arena_str(request->arena, why);
    remember_trouble(request, message);
    request_event(request, "Warning", "Failed", "Failed to pull image \"%.*s\": %.*s",
                  STR_ARG(request->wanted), STR_ARG(message));
    refuse(request, STR("ErrImagePull"), message, SHOW_ERROR);
}

// The message is the last line on stderr.
static Str last_line(Str text) {
    text = str_trim(text);
    ptrdiff_t newline = str_find_last(text, '\n');
    return newline < 0 ? text : str_slice(text, (size_t)newline + 1, text.len);
}

static void on_pulled(void *user, const SpawnResult *result) {
    Pull *pull = user;
    pull->child = NULL;
    list_remove(&pull->link);
    bool good = !result->error && !result->timed_out && WIFEXITED(result->status) &&
                WEXITSTATUS(result->status) == 0;
    Str why = result->error       ? STR("seapod-image could not be run")
              : result->timed_out ? STR("the pull took longer than an hour")
                                  : last_line(result->stderr_data);
    if (str_starts_with(why, STR("seapod-image: ")))
        why = str_slice(why, 14, why.len);
    ImageRequest *request;
    list_for_each(request, &pull->waiting, link) {
        list_remove(&request->link);
        if (good)
            pulled(request, pull);
        else
            pull_failed(request, why.len ? why : STR("seapod-image ended without a word"));
    }
    free(pull);
}

static void start_pull(ImageRequest *request) {
    Images *images = request->images;
    NodeAgent *agent = images->agent;
    Str reference = request->reference;
    Pull *pull = memory_alloc(sizeof *pull + reference.len);
    *pull = (Pull){.images = images, .started = loop_wall(agent->loop)};
    memcpy(pull->text, reference.ptr, reference.len);
    pull->reference = str_of(pull->text, reference.len);
    list_init(&pull->waiting);
    list_append(&pull->waiting, &request->link);
    list_append(&images->pulls, &pull->link);

    const char *argv[64];
    size_t n = 0;
    argv[n++] = arena_cstr(request->arena, agent->config.image_program);
    argv[n++] = "pull";
    argv[n++] = "--quiet";
    argv[n++] = "--data-dir";
    argv[n++] = arena_cstr(request->arena, agent->config.data_directory);
    for (size_t i = 0; i < agent->config.n_registry_mirrors && n < 56; i++) {
        argv[n++] = "--mirror";
        argv[n++] = arena_cstr(request->arena, agent->config.registry_mirrors[i]);
    }
    if (agent->config.registry_config.len) {
        argv[n++] = "--creds-file";
        argv[n++] = arena_cstr(request->arena, agent->config.registry_config);
    }
    argv[n++] = arena_cstr(request->arena, reference);
    argv[n] = NULL;
    SpawnSpec spec = {.argv = argv};
    pull->child =
        spawn_run(agent->loop, &spec, STR_NONE, MAX_OUTPUT, PULL_TIMEOUT, on_pulled, pull);
}

static void pull(ImageRequest *request) {
    Images *images = request->images;
    Trouble *trouble = map_get(images->troubles, request->trouble_key);
    int64_t now = loop_wall(images->agent->loop);
    int64_t wait = trouble ? backoff_remaining(&trouble->backoff, trouble->failed_at, now) : 0;
    if (wait > 0) {
        request_event(request, "Normal", "BackOff", "Back-off pulling image \"%.*s\"",
                      STR_ARG(request->wanted));
        refuse(request, STR("ImagePullBackOff"),
               arena_printf(request->arena, "Back-off pulling image \"%.*s\": ErrImagePull: %.*s",
                            STR_ARG(request->wanted), STR_ARG(trouble->message)),
               wait);
        return;
    }
    request_event(request, "Normal", "Pulling", "Pulling image \"%.*s\"", STR_ARG(request->wanted));
    Pull *pull;
    list_for_each(pull, &images->pulls, link) {
        if (str_eq(pull->reference, request->reference)) {
            list_append(&pull->waiting, &request->link);
            return;
        }
    }
    start_pull(request);
}

// Asking
// -------------------------------------------------------------------------------------------

static void decide(ImageRequest *request, Str policy) {
    ImageReference reference;
    Str message;
    if (reference_parse(request->arena, request->wanted, &reference, &message) != 0) {
        message = arena_printf(request->arena, "Failed to apply default image tag \"%.*s\": %.*s",
                               STR_ARG(request->wanted), STR_ARG(message));
        request_event(request, "Warning", "InspectFailed", "%.*s", STR_ARG(message));
        refuse(request, STR("InvalidImageName"), message, 0);
        return;
    }
    request->reference = reference_format(request->arena, &reference);
    int error = find(request);
    bool present = error == 0;
    if (error && error != IMAGE_STORE_E_NOT_FOUND) {
        message = arena_printf(request->arena, "Failed to inspect image \"%.*s\": %s",
                               STR_ARG(request->wanted),
                               error < 0 ? strerror(-error) : "the image store cannot be read");
        request_event(request, "Warning", "InspectFailed", "%.*s", STR_ARG(message));
        refuse(request, STR("ImageInspectError"), message, 0);
    } else if (present && !str_eq(policy, STR("Always"))) {
        request_event(
            request, "Normal", "Pulled",
            "Container image \"%.*s\" already present on machine and can be accessed by the pod",
            STR_ARG(request->wanted));
        answer(request);
    } else if (str_eq(policy, STR("Never"))) {
        message = arena_printf(request->arena,
                               "Container image \"%.*s\" is not present with pull policy of Never",
                               STR_ARG(request->wanted));
        request_event(request, "Warning", "ErrImageNeverPull", "%.*s", STR_ARG(message));
        refuse(request, STR("ErrImageNeverPull"), message, 0);
    } else
        pull(request);
}

ImageRequest *images_ensure(Images *images, const Pod *pod, const Container *container,
                            Str field_path, void (*done)(void *user, const ImageResult *result),
                            void *user) {
    Arena *arena = arena_new();
    ImageRequest *request = arena_new_of(arena, ImageRequest);
    request->images = images;
    request->arena = arena;
    request->done = done;
    request->user = user;
    request->wanted = arena_str(arena, container->image);
    request->trouble_key =
        arena_printf(arena, "%.*s %.*s", STR_ARG(pod->metadata.uid), STR_ARG(container->image));
    request->target =
        (EventTarget){.api_version = STR("v1"),
                      .kind = STR("Pod"),
                      .namespace_ = arena_str(arena, pod->metadata.namespace),
                      .name = arena_str(arena, pod->metadata.name),
                      .uid = arena_str(arena, pod->metadata.uid),
                      .resource_version = arena_str(arena, pod->metadata.resource_version),
                      .field_path = arena_str(arena, field_path)};
    decide(request, container->image_pull_policy);
    return request;
}

void images_release(ImageRequest *request) {
    list_remove(&request->link);
    if (request->answered)
        loop_task_cancel(request->images->agent->loop, &request->answer);
    arena_free(request->arena);
}

int images_pin(Images *images, Str container_id, const Image *image) {
    if (images->store_error)
        return -EIO;
    int error = image_store_pin(images->store, container_id, image);
    return error > 0 ? -EAGAIN : error;
}

void images_unpin(Images *images, Str container_id) {
    if (!images->store_error && image_store_unpin(images->store, container_id) != 0)
        log_warn("node", "image not unpinned", "container=%.*s", STR_ARG(container_id));
}

void images_retain(Images *images, bool (*is_known)(void *user, Str container_id), void *user) {
    _arena_free_ Arena *arena = arena_new();
    ImageStrings names;
    if (images->store_error || image_store_pins(images->store, arena, &names) != 0)
        return;
    for (size_t i = 0; i < names.n; i++)
        if (!is_known(user, names.items[i]))
            images_unpin(images, names.items[i]);
}

static void on_imported(void *user, const SpawnResult *result) {
    Str last = last_line(result->stderr_data);
    if (result->error || !WIFEXITED(result->status) || WEXITSTATUS(result->status) != 0)
        log_warn("node", "not every archive in images/ was imported", "message=\"%.*s\"",
                 STR_ARG(last));
}

void images_import_directory(Images *images) {
    NodeAgent *agent = images->agent;
    _arena_free_ Arena *arena = arena_new();
    const char *data = arena_cstr(arena, agent->config.data_directory);
    const char *directory = arena_printf(arena, "%s/images", data).ptr;
    if (access(directory, R_OK) != 0)
        return;
    const char *argv[] = {arena_cstr(arena, agent->config.image_program),
                          "import",
                          "--new",
                          "--quiet",
                          "--data-dir",
                          data,
                          directory,
                          NULL};
    SpawnSpec spec = {.argv = argv};
    spawn_run(agent->loop, &spec, STR_NONE, MAX_OUTPUT, PULL_TIMEOUT, on_imported, images);
}

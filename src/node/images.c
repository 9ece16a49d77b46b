#include "node/images.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/spawn.h"
#include "base/time.h"
#include "image/reference.h"
#include "node/image_secrets.h"
#include "node/images_private.h"
#include "node/node_reporter.h"
#include "node/pod_private.h"

#define MAX_OUTPUT (64 * 1024)
#define PULL_TIMEOUT (3600 * NSEC_PER_SEC)
#define MAX_TROUBLES 1000
#define SHOW_ERROR (1 * NSEC_PER_SEC) // ErrImagePull stands that long before ImagePullBackOff

typedef struct Pull { // one run of seapod-image, for all who want that image now
    ListLink link;
    Images *images;
    Str reference;
    ImageSecrets *secrets; // may be NULL
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
    ImageSecrets *secrets; // while it waits for them, and until its pull has them
    bool answered;
    void (*done)(void *user, const ImageResult *result);
    void *user;
    ImageResult result;
    LoopTask answer;
};

Images *images_new(NodeAgent *agent) {
    Images *images = memory_new(Images);
    images->agent = agent;
    images->store_error =
        image_store_open(arena_cstr(agent->arena, agent->config.data_directory), &images->store);
    if (images->store_error)
        log_error("node", "image store not usable", "error=%d", images->store_error);
    images->troubles = map_new();
    images->uses = map_new();
    list_init(&images->pulls);
    return images;
}

void images_free(Images *images) {
    Pull *pull;
    list_for_each(pull, &images->pulls, link) {
        child_kill(pull->child, SIGTERM);
        image_secrets_free(pull->secrets);
        free(pull);
    }
    MapIter iter = {0};
    while (map_next(images->troubles, &iter)) {
        Trouble *trouble = iter.value;
        owned_set(&trouble->message, STR_NONE);
        free(trouble);
    }
    map_free(images->troubles);
    image_uses_free(images);
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
    node_reporter_changed(pull->images->agent->status);
    images_collect(pull->images);
    image_secrets_free(pull->secrets);
    free(pull);
}

#define MAX_ARGUMENTS 128
#define FIRST_FD 3

// Secrets go to the program by descriptors: neither a command line nor a file ever shows them.
static size_t open_secrets(const ImageSecrets *secrets, SpawnFd *fds, size_t most) {
    const Str *texts;
    size_t n = image_secrets_texts(secrets, &texts), opened = 0;
    for (size_t i = 0; i < n && opened < most; i++) {
        int fd = memfd_create("image-pull-secret", MFD_CLOEXEC);
        if (fd < 0 || write(fd, texts[i].ptr, texts[i].len) != (ssize_t)texts[i].len) {
            if (fd >= 0)
                close(fd);
            continue;
        }
        fds[opened] = (SpawnFd){fd, FIRST_FD + (int)opened};
        opened++;
    }
    return opened;
}

static void run_program(ImageRequest *request, Pull *pull) {
    NodeAgent *agent = request->images->agent;
    Arena *arena = request->arena;
    const NodeConfig *config = &agent->config;
    const char *argv[MAX_ARGUMENTS];
    SpawnFd fds[16];
    size_t n = 0, n_fds = open_secrets(pull->secrets, fds, 16);
    argv[n++] = arena_cstr(arena, config->image_program);
    argv[n++] = "pull";
    argv[n++] = "--quiet";
    argv[n++] = "--data-dir";
    argv[n++] = arena_cstr(arena, config->data_directory);
    for (size_t i = 0; i < n_fds; i++) {
        argv[n++] = "--creds-file";
        argv[n++] = arena_printf(arena, "/dev/fd/%d", fds[i].target).ptr;
    }
    if (config->registry_config.len) {
        argv[n++] = "--creds-file";
        argv[n++] = arena_cstr(arena, config->registry_config);
    }
    for (size_t i = 0; i < config->n_registry_mirrors && n < MAX_ARGUMENTS - 3; i++) {
        argv[n++] = "--mirror";
        argv[n++] = arena_cstr(arena, config->registry_mirrors[i]);
    }
    argv[n++] = arena_cstr(arena, request->reference);
    argv[n] = NULL;
    SpawnSpec spec = {.argv = argv, .fds = fds, .n_fds = n_fds};
    pull->child =
        spawn_run(agent->loop, &spec, STR_NONE, MAX_OUTPUT, PULL_TIMEOUT, on_pulled, pull);
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i].source);
}

static void start_pull(ImageRequest *request) {
    Images *images = request->images;
    Str reference = request->reference;
    Pull *pull = memory_alloc(sizeof *pull + reference.len);
    *pull = (Pull){.images = images, .started = loop_wall(images->agent->loop)};
    memcpy(pull->text, reference.ptr, reference.len);
    pull->reference = str_of(pull->text, reference.len);
    pull->secrets = request->secrets;
    request->secrets = NULL;
    list_init(&pull->waiting);
    list_append(&pull->waiting, &request->link);
    list_append(&images->pulls, &pull->link);
    run_program(request, pull);
}

// One pull for all who ask for the same with the same right.
static void join_pull(ImageRequest *request) {
    Pull *pull;
    list_for_each(pull, &request->images->pulls, link) {
        if (!str_eq(pull->reference, request->reference) ||
            !image_secrets_equal(pull->secrets, request->secrets))
            continue;
        list_append(&pull->waiting, &request->link);
        return;
    }
    start_pull(request);
}

static void on_secrets(void *user) {
    ImageRequest *request = user;
    Str missing = image_secrets_missing(request->secrets);
    if (missing.len)
        request_event(request, "Warning", "FailedToRetrieveImagePullSecret",
                      "Unable to retrieve some image pull secrets (%.*s); attempting to pull the "
                      "image may not succeed.",
                      STR_ARG(missing));
    join_pull(request);
}

static void pull(ImageRequest *request, const Pod *pod) {
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
    if (pod->spec.image_pull_secrets.len)
        request->secrets = image_secrets_new(images->agent, pod, on_secrets, request);
    else
        join_pull(request);
}

// Asking
// -------------------------------------------------------------------------------------------

static void decide(ImageRequest *request, const Pod *pod, Str policy) {
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
        pull(request, pod);
}

ImageRequest *images_ensure(Images *images, const Pod *pod, Str image, Str pull_policy,
                            Str field_path, void (*done)(void *user, const ImageResult *result),
                            void *user) {
    Arena *arena = arena_new();
    ImageRequest *request = arena_new_of(arena, ImageRequest);
    request->images = images;
    request->arena = arena;
    request->done = done;
    request->user = user;
    request->wanted = arena_str(arena, image);
    request->trouble_key =
        arena_printf(arena, "%.*s %.*s", STR_ARG(pod->metadata.uid), STR_ARG(image));
    request->target =
        (EventTarget){.api_version = STR("v1"),
                      .kind = STR("Pod"),
                      .namespace_ = arena_str(arena, pod->metadata.namespace),
                      .name = arena_str(arena, pod->metadata.name),
                      .uid = arena_str(arena, pod->metadata.uid),
                      .resource_version = arena_str(arena, pod->metadata.resource_version),
                      .field_path = arena_str(arena, field_path)};
    decide(request, pod, pull_policy);
    return request;
}

void images_release(ImageRequest *request) {
    list_remove(&request->link);
    if (request->answered)
        loop_task_cancel(request->images->agent->loop, &request->answer);
    image_secrets_free(request->secrets);
    arena_free(request->arena);
}

int images_pin(Images *images, Str container_id, const Image *image) {
    if (images->store_error)
        return -EIO;
    int error = image_store_pin(images->store, container_id, image);
    image_use(images, image->manifest)->used = loop_wall(images->agent->loop);
    return error > 0 ? -EAGAIN : error;
}

void images_unpin(Images *images, Str container_id) {
    _arena_free_ Arena *arena = arena_new();
    Str manifest;
    if (!images->store_error &&
        image_store_pinned(images->store, arena, container_id, &manifest) == 0)
        image_use(images, manifest)->used = loop_wall(images->agent->loop);
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

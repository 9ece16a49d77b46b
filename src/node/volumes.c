#include "node/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "node/environment.h"
#include "node/subpath.h"
#include "node/volume_private.h"

#define RETRY_FIRST (500 * NSEC_PER_MSEC) // a kubelet's delays between tries
#define RETRY_LAST (122 * NSEC_PER_SEC)

// Kinds ------------------------------------------------------------------------------------------

static const char *kind_directory(const Volume *spec) {
    return spec->config_map     ? "kubernetes.io~configmap"
           : spec->secret       ? "kubernetes.io~secret"
           : spec->downward_api ? "kubernetes.io~downward-api"
           : spec->projected    ? "kubernetes.io~projected"
           : spec->image        ? "kubernetes.io~image"
                                : "kubernetes.io~empty-dir";
}

static int refuse(const Volume *spec, Str *ret_message) {
    if (spec->ephemeral)
        *ret_message = STR("ephemeral volumes are not supported by this node");
    else
        *ret_message = STR("no volume plugin matched");
    return -ENOTSUP;
}

static int set_up(PodVolume *volume, Arena *arena, Str *ret_message) {
    const Volume *spec = volume_spec(volume);
    if (spec->empty_dir)
        return volume_empty_dir(volume, arena, ret_message);
    if (spec->host_path)
        return volume_host_path(volume, arena, ret_message);
    if (volume_has_content(spec))
        return volume_content(volume, arena, ret_message);
    if (spec->image)
        return volume_image(volume, arena, ret_message);
    if (spec->persistent_volume_claim)
        return volume_claim(volume, arena, ret_message);
    return refuse(spec, ret_message);
}

// One volume -------------------------------------------------------------------------------------

static void set_message(PodVolume *volume, Str message) {
    free((char *)volume->message.ptr);
    volume->message = STR_NONE;
    if (message.len) {
        char *copy = memory_alloc(message.len);
        memcpy(copy, message.ptr, message.len);
        volume->message = str_of(copy, message.len);
    }
}

static void tell(void *user) {
    PodVolumes *volumes = user;
    volumes->changed(volumes->user);
}

static void failed(PodVolume *volume, Str message) {
    const PodVolumes *owner = volume->owner;
    const ObjectMeta *metadata = &owner->pod->metadata;
    EventTarget target = {.api_version = STR("v1"),
                          .kind = STR("Pod"),
                          .namespace_ = metadata->namespace,
                          .name = metadata->name,
                          .uid = metadata->uid,
                          .resource_version = metadata->resource_version};
    set_message(volume, message);
    event_record(owner->agent->events, &target, "Warning", "FailedMount",
                 "MountVolume.SetUp failed for volume \"%.*s\" : %.*s",
                 STR_ARG(volume_spec(volume)->name), STR_ARG(message));
    loop_timer_start(&volume->retry, volume->delay);
    volume->delay = volume->delay * 2 < RETRY_LAST ? volume->delay * 2 : RETRY_LAST;
}

static void check(void *user) {
    PodVolume *volume = user;
    _arena_free_ Arena *arena = arena_new();
    Str message = STR_NONE;
    int error = set_up(volume, arena, &message);
    if (error == VOLUME_E_WAITING)
        return;
    if (error) {
        failed(volume, message);
        return;
    }
    loop_timer_stop(&volume->retry);
    volume->delay = RETRY_FIRST;
    set_message(volume, STR_NONE);
    if (!volume->ready)
        loop_post(volume->owner->agent->loop, &volume->owner->tell);
    volume->ready = true;
}

static void retry(void *user) {
    PodVolume *volume = user;
    volume_content_retry(volume);
    if (volume->claim)
        volume_claim_retry(volume->claim);
    check(user);
}

void volume_changed(void *user) {
    PodVolume *volume = user;
    loop_post(volume->owner->agent->loop, &volume->check);
}

void volume_set_path(PodVolume *volume, Str path, bool read_only) {
    volume->path = arena_str(volume->owner->arena, path);
    volume->read_only = read_only;
}

static void volume_init(PodVolumes *volumes, size_t index) {
    PodVolume *volume = &volumes->items[index];
    volume->owner = volumes;
    volume->index = index;
    const Volume *spec = volume_spec(volume);
    volume->path = arena_printf(volumes->arena, "%.*s/volumes/%s/%.*s", STR_ARG(volumes->directory),
                                kind_directory(spec), STR_ARG(spec->name));
    if (spec->host_path)
        volume->path = arena_str(volumes->arena, spec->host_path->path);
    volume->read_only = volume_has_content(spec) || spec->image;
    volume->delay = RETRY_FIRST;
    volume->check = (LoopTask){.fn = check, .user = volume};
    loop_timer_init(&volume->retry, volumes->agent->loop, retry, volume);
    volume_changed(volume);
}

// The pod's --------------------------------------------------------------------------------------

// What volumes show of a pod: its metadata and spec. The copy has an arena of its own, since it
// changes with the labels.
static void copy_pod(PodVolumes *volumes, const Pod *pod) {
    Pod part = *pod;
    part.metadata.managed_fields.items = NULL;
    part.metadata.managed_fields.len = 0;
    part.status = (PodStatus){.qos_class = pod->status.qos_class};
    Arena *arena = arena_new();
    Buf buf = BUF_INIT(2 * VALUE_MAX_BYTES);
    typed_write_json(kinds_type_Pod(), &part, &buf);
    Str json = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    Pod *copy = arena_new_of(arena, Pod);
    if (typed_from_json(arena, kinds_type_Pod(), json, copy) != 0)
        abort(); // we wrote it
    arena_free(volumes->pod_arena);
    volumes->pod_arena = arena;
    volumes->pod = copy;
}

PodVolumes *pod_volumes_new(NodeAgent *agent, const Pod *pod, void (*changed)(void *user),
                            void *user) {
    Arena *arena = arena_new_small();
    PodVolumes *volumes = arena_new_of(arena, PodVolumes);
    volumes->agent = agent;
    volumes->arena = arena;
    volumes->changed = changed;
    volumes->user = user;
    volumes->tell = (LoopTask){.fn = tell, .user = volumes};
    copy_pod(volumes, pod);
    volumes->directory = agent_pod_directory(agent, arena, pod->metadata.uid);
    volumes->n = pod->spec.volumes.len;
    volumes->items = arena_array_of(arena, PodVolume, volumes->n);
    for (size_t i = 0; i < volumes->n; i++)
        volume_init(volumes, i);
    return volumes;
}

static bool same_map(const StrMap *a, const StrMap *b) {
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++) {
        Str other = str_map_get(b, a->keys[i]);
        if (!other.ptr || !str_eq(other, a->values[i]))
            return false;
    }
    return true;
}

void pod_volumes_update(PodVolumes *volumes, const Pod *pod) {
    const ObjectMeta *old = &volumes->pod->metadata, *now = &pod->metadata;
    if ((same_map(&old->labels, &now->labels) && same_map(&old->annotations, &now->annotations)) ||
        pod->spec.volumes.len != volumes->n)
        return;
    copy_pod(volumes, pod);
    for (size_t i = 0; i < volumes->n; i++) {
        const Volume *spec = volume_spec(&volumes->items[i]);
        if (spec->downward_api || spec->projected)
            volume_changed(&volumes->items[i]);
    }
}

bool pod_volumes_ready(const PodVolumes *volumes, Str *ret_message) {
    for (size_t i = 0; i < volumes->n; i++) {
        const PodVolume *volume = &volumes->items[i];
        if (volume->ready)
            continue;
        *ret_message = volume->message.len ? volume->message : STR("volumes are being set up");
        return false;
    }
    return true;
}

// Mounts -----------------------------------------------------------------------------------------

typedef struct Expansion {
    const RuntimePair *env;
    size_t n;
    Arena *arena;
    Str missing;
} Expansion;

static Str needed(void *user, Str name) {
    Expansion *expansion = user;
    for (size_t i = expansion->n; i-- > 0;)
        if (str_eq(expansion->env[i].name, name) && expansion->env[i].value.len)
            return expansion->env[i].value;
    expansion->missing = expansion->missing.ptr
                             ? arena_printf(expansion->arena, "%.*s, %.*s",
                                            STR_ARG(expansion->missing), STR_ARG(name))
                             : name;
    return STR("");
}

static int expand(Arena *arena, const VolumeMount *mount, const RuntimePair *env, size_t n_env,
                  Str *ret, Str *ret_message) {
    *ret = mount->sub_path;
    if (!mount->sub_path_expr.len)
        return 0;
    Expansion expansion = {.env = env, .n = n_env, .arena = arena};
    *ret = environment_expand_with(arena, mount->sub_path_expr, needed, &expansion);
    if (!expansion.missing.ptr)
        return 0;
    *ret_message = arena_printf(arena, "missing value for %.*s", STR_ARG(expansion.missing));
    return -EINVAL;
}

typedef struct Bind { // of a sub-path, there until the container has it
    int is_directory;
    char path[];
} Bind;

static void unbind(void *user) {
    Bind *bind = user;
    if (umount2(bind->path, MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL &&
        errno != ENOENT)
        log_warn("node", "sub-path not unmounted", "path=\"%s\" error=\"%s\"", bind->path,
                 strerror(errno));
    if (bind->is_directory)
        rmdir(bind->path);
    else
        unlink(bind->path);
    free(bind);
}

// A name that is not taken: one may be, by a start that a crash cut short.
static int make_target(Arena *arena, Str directory, bool is_directory, Bind **ret) {
    char *parent = arena_cstr(arena, directory);
    if (mkdir(parent, 0750) != 0 && errno != EEXIST)
        return -errno;
    for (unsigned i = 0;; i++) {
        Str path = arena_printf(arena, "%s/%u", parent, i);
        int fd = -1;
        if (is_directory ? mkdir(path.ptr, 0700) == 0
                         : (fd = open(path.ptr, O_CREAT | O_EXCL | O_CLOEXEC, 0600)) >= 0) {
            if (fd >= 0)
                close(fd);
            *ret = memory_alloc(sizeof **ret + path.len + 1);
            (*ret)->is_directory = is_directory;
            memcpy((*ret)->path, path.ptr, path.len + 1);
            return 0;
        }
        if (errno != EEXIST)
            return -errno;
    }
}

// Mounted where no container can move it. The container's own mount is another: this one goes with
// the arena.
static int bind_sub_path(const PodVolume *volume, Arena *arena, int fd, Str *ret) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    Bind *bind = NULL;
    Str directory = arena_printf(arena, "%.*s/volume-subpaths", STR_ARG(volume->owner->directory));
    int error = make_target(arena, directory, S_ISDIR(status.st_mode), &bind);
    if (error)
        return error;
    arena_defer(arena, unbind, bind);
    Str source = arena_printf(arena, "/proc/self/fd/%d", fd);
    if (mount(source.ptr, bind->path, NULL, MS_BIND, NULL) != 0)
        return -errno;
    *ret = arena_str(arena, str_from(bind->path));
    return 0;
}

static bool has_backstep(Str path) {
    while (path.ptr)
        if (str_eq(str_cut(&path, '/'), STR("..")))
            return true;
    return false;
}

// The pod's processes may move things about in the volume while the runtime mounts it, so what was
// checked is not passed on by its name.
static int mount_sub_path(const PodVolume *volume, Arena *arena, Str container, Str name, Str path,
                          Str *ret, Str *ret_message) {
    if (path.ptr[0] == '/') {
        *ret_message =
            arena_printf(arena, "error SubPath `%.*s` must not be an absolute path", STR_ARG(path));
        return -EINVAL;
    }
    if (has_backstep(path)) {
        *ret_message = arena_printf(
            arena, "unable to provision SubPath `%.*s`: must not contain '..'", STR_ARG(path));
        return -EINVAL;
    }
    int fd, error = subpath_open(volume->path.ptr, path, true, &fd);
    if (!error) {
        error = bind_sub_path(volume, arena, fd, ret);
        close(fd);
    }
    if (error) // no detail: it could tell about the host's files
        *ret_message = arena_printf(
            arena, "failed to prepare subPath for volumeMount \"%.*s\" of container \"%.*s\"",
            STR_ARG(name), STR_ARG(container));
    return error;
}

static PodVolume *find(PodVolumes *volumes, Str name) {
    for (size_t i = 0; i < volumes->n; i++)
        if (str_eq(volume_spec(&volumes->items[i])->name, name))
            return &volumes->items[i];
    return NULL;
}

int pod_volumes_mount(PodVolumes *volumes, Arena *arena, Str container, const VolumeMount *mount,
                      const RuntimePair *env, size_t n_env, ContainerMount *ret, Str *ret_message) {
    const PodVolume *volume = find(volumes, mount->name);
    if (!volume || !volume->ready) {
        *ret_message =
            arena_printf(arena, "cannot find volume \"%.*s\" to mount into container \"%.*s\"",
                         STR_ARG(mount->name), STR_ARG(container));
        return -ENOENT;
    }
    Str sub_path, source = arena_str(arena, volume->path);
    int error = expand(arena, mount, env, n_env, &sub_path, ret_message);
    if (!error && sub_path.len)
        error =
            mount_sub_path(volume, arena, container, mount->name, sub_path, &source, ret_message);
    if (error)
        return error;
    Str propagation = mount->mount_propagation, recursive = mount->recursive_read_only;
    *ret = (ContainerMount){
        .source = source,
        .target = mount->mount_path.len && mount->mount_path.ptr[0] == '/'
                      ? mount->mount_path
                      : arena_printf(arena, "/%.*s", STR_ARG(mount->mount_path)),
        .read_only = mount->read_only || volume->read_only,
        .no_exec = volume_spec(volume)->image,
        .recursive_read_only = mount->read_only && (str_eq(recursive, STR("Enabled")) ||
                                                    str_eq(recursive, STR("IfPossible"))),
    };
    if (str_eq(propagation, STR("HostToContainer")))
        ret->propagation = PROPAGATION_HOST_TO_CONTAINER;
    else if (str_eq(propagation, STR("Bidirectional")))
        ret->propagation = PROPAGATION_BIDIRECTIONAL;
    return 0;
}

// The end ----------------------------------------------------------------------------------------

static void stop_all(PodVolumes *volumes) {
    Loop *loop = volumes->agent->loop;
    for (size_t i = 0; i < volumes->n; i++) {
        PodVolume *volume = &volumes->items[i];
        volume_content_release(volume);
        volume_image_release(volume);
        volume_claim_free(volume->claim);
        loop_timer_stop(&volume->retry);
        loop_task_cancel(loop, &volume->check);
        set_message(volume, STR_NONE);
    }
    loop_task_cancel(loop, &volumes->tell);
    arena_free(volumes->pod_arena);
}

void pod_volumes_detach(PodVolumes *volumes) {
    if (!volumes)
        return;
    stop_all(volumes);
    arena_free(volumes->arena);
}

void pod_volumes_free(PodVolumes *volumes, void (*done)(void *user), void *user) {
    Loop *loop = volumes->agent->loop;
    _arena_free_ Arena *arena = arena_new();
    Str directory = arena_str(arena, volumes->directory);
    for (size_t i = 0; i < volumes->n; i++)
        volume_image_unpin(&volumes->items[i]);
    pod_volumes_detach(volumes);
    volume_remove_all(loop, directory, done, user);
}

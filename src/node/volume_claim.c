// Volumes by claim: the claim must be bound to a persistent volume that lies on this host.
// https://kubernetes.io/docs/concepts/storage/persistent-volumes/
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "node/volume_private.h"

struct VolumeClaim {
    PodVolume *volume;
    ClientCall *call; // for the claim, then for the volume that it is bound to
    Str claim, from;  // malloc'ed: both as JSON
    Str error;        // malloc'ed: why one could not be read
};

static void keep(Str *slot, Str value) {
    free((char *)slot->ptr);
    char *copy = value.len ? memory_alloc(value.len) : NULL;
    if (copy)
        memcpy(copy, value.ptr, value.len);
    *slot = copy ? str_of(copy, value.len) : STR_NONE;
}

static void on_answer(void *user, const ClientResult *result) {
    VolumeClaim *claim = user;
    claim->call = NULL;
    if (!result->error)
        keep(claim->claim.ptr ? &claim->from : &claim->claim, result->body);
    else
        keep(&claim->error,
             result->status ? result->status->message : STR("the API server cannot be reached"));
    volume_changed(claim->volume);
}

// A node may get a claim that a pod of its names, and no more; what is not there yet is asked for
// again with the volume's next try.
static int fetch(VolumeClaim *claim, Arena *arena, const ClientTarget *target, Str *ret_message) {
    if (claim->error.ptr) {
        *ret_message = arena_str(arena, claim->error);
        return -EAGAIN;
    }
    if (!claim->call)
        claim->call = client_get(claim->volume->owner->agent->client, target, on_answer, claim);
    return VOLUME_E_WAITING;
}

static VolumeClaim *claim_new(PodVolume *volume) {
    VolumeClaim *claim = memory_new(VolumeClaim);
    claim->volume = volume;
    return claim;
}

void volume_claim_free(VolumeClaim *claim) {
    if (!claim)
        return;
    if (claim->call)
        client_cancel(claim->call);
    volume_claim_retry(claim);
    free(claim);
}

void volume_claim_retry(VolumeClaim *claim) {
    keep(&claim->claim, STR_NONE);
    keep(&claim->from, STR_NONE);
    keep(&claim->error, STR_NONE);
}

// 0 with the claim once it is bound.
static int read_claim(VolumeClaim *claim, Arena *arena, PersistentVolumeClaim *ret,
                      Str *ret_message) {
    const PodVolume *volume = claim->volume;
    ClientTarget target = {.resource = kinds_resource_core_v1_persistentvolumeclaims(),
                           .namespace_ = volume->owner->pod->metadata.namespace,
                           .name = volume_spec(volume)->persistent_volume_claim->claim_name};
    if (!claim->claim.ptr)
        return fetch(claim, arena, &target, ret_message);
    int error = typed_from_json(arena, kinds_type_PersistentVolumeClaim(),
                                arena_str(arena, claim->claim), ret);
    if (!error && (!str_eq(ret->status.phase, STR("Bound")) || !ret->spec.volume_name.len)) {
        *ret_message = STR("PVC is not bound");
        error = -EAGAIN;
    }
    return error;
}

static int read_volume(VolumeClaim *claim, Arena *arena, const PersistentVolumeClaim *of,
                       PersistentVolume *ret, Str *ret_message) {
    ClientTarget target = {.resource = kinds_resource_core_v1_persistentvolumes(),
                           .name = of->spec.volume_name};
    if (!claim->from.ptr)
        return fetch(claim, arena, &target, ret_message);
    int error =
        typed_from_json(arena, kinds_type_PersistentVolume(), arena_str(arena, claim->from), ret);
    const ObjectReference *to = ret->spec.claim_ref;
    if (!error && (!to || !str_eq(to->uid, of->metadata.uid))) {
        *ret_message = arena_printf(arena, "persistent volume \"%.*s\" is not bound to this claim",
                                    STR_ARG(of->spec.volume_name));
        error = -EAGAIN;
    }
    return error;
}

static int use_volume(PodVolume *volume, Arena *arena, const PersistentVolume *from,
                      Str *ret_message) {
    const PersistentVolumeSpec *spec = &from->spec;
    if (spec->volume_mode.ptr && str_eq(spec->volume_mode, STR("Block"))) {
        *ret_message = STR("raw block volumes are not supported by this node");
        return -ENOTSUP;
    }
    bool read_only = volume_spec(volume)->persistent_volume_claim->read_only;
    if (spec->host_path) {
        volume_set_path(volume, spec->host_path->path, read_only);
        return volume_check_host_path(arena, spec->host_path, ret_message);
    }
    if (!spec->local) {
        *ret_message = STR("no volume plugin matched");
        return -ENOTSUP;
    }
    struct stat status;
    const char *path = arena_cstr(arena, spec->local->path);
    if (stat(path, &status) != 0) {
        *ret_message = arena_printf(arena, "path \"%s\" does not exist", path);
        return -ENOENT;
    }
    volume_set_path(volume, spec->local->path, read_only);
    return volume_own_by_group(volume, arena, ret_message);
}

int volume_claim(PodVolume *volume, Arena *arena, Str *ret_message) {
    PersistentVolumeClaim claim;
    PersistentVolume from;
    if (volume->ready)
        return 0;
    if (!volume->claim)
        volume->claim = claim_new(volume);
    int error = read_claim(volume->claim, arena, &claim, ret_message);
    if (!error)
        error = read_volume(volume->claim, arena, &claim, &from, ret_message);
    return error ? error : use_volume(volume, arena, &from, ret_message);
}

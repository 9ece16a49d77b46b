// Volumes that are claims. This cluster serves no PersistentVolumeClaims yet, so the claim that a
// pod names is never there; kube-scheduler says so in these words.

#include "scheduler/plugins/plugins.h"

static bool pre_filter(Cycle *cycle, Str *ret_message) {
    const Pod *pod = cycle->pod;
    for (size_t i = 0; i < pod->spec.volumes.len; i++) {
        const Volume *volume = &pod->spec.volumes.items[i];
        if (volume->persistent_volume_claim) {
            *ret_message = arena_printf(cycle->arena, "persistentvolumeclaim \"%.*s\" not found",
                                        STR_ARG(volume->persistent_volume_claim->claim_name));
            return false;
        }
        if (volume->ephemeral) {
            *ret_message = arena_printf(cycle->arena,
                                        "waiting for ephemeral volume controller to create the "
                                        "persistentvolumeclaim \"%.*s-%.*s\"",
                                        STR_ARG(pod->metadata.name), STR_ARG(volume->name));
            return false;
        }
    }
    return true;
}

const Plugin *plugin_volume_binding(void) {
    static const Plugin plugin = {.name = "VolumeBinding", .pre_filter = pre_filter};
    return &plugin;
}

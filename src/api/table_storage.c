// Cells of volumes, claims and what belongs to them: upstream's pkg/printers/internalversion.

#include "api/table_cells.h"

static Value *volume_phase(const CellInput *input) {
    if (value_at(input->object, "metadata.deletionTimestamp"))
        return cell_string(input, STR("Terminating"));
    return cell_string(input, value_string_at(input->object, "status.phase"));
}

static bool has_mode(const Value *modes, Str mode) {
    for (uint32_t i = 0; i < cell_count(modes); i++)
        if (modes->items[i]->kind == VALUE_STRING && str_eq(modes->items[i]->string, mode))
            return true;
    return false;
}

static Value *modes_cell(const CellInput *input, const Value *modes) {
    static const struct {
        Str mode, word;
    } known[] = {{STR("ReadWriteOnce"), STR("RWO")},
                 {STR("ReadOnlyMany"), STR("ROX")},
                 {STR("ReadWriteMany"), STR("RWX")},
                 {STR("ReadWriteOncePod"), STR("RWOP")}};
    Words words = {.arena = input->arena};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (has_mode(modes, known[i].mode))
            words_add(&words, known[i].word);
    return cell_string(input, words_join(&words, STR(","), STR("")));
}

static Value *access_modes(const CellInput *input) {
    return modes_cell(input, input->field);
}

static bool has_volume(const Value *claim) {
    return value_string_at(claim, "spec.volumeName").len > 0;
}

static Value *claim_access_modes(const CellInput *input) {
    return modes_cell(
        input, has_volume(input->object) ? value_at(input->object, "status.accessModes") : NULL);
}

static Value *volume_capacity(const CellInput *input) {
    Str size = value_string_at(input->object, "spec.capacity.storage");
    return cell_string(input, size.len ? size : STR("0"));
}

static Value *claim_capacity(const CellInput *input) {
    if (!has_volume(input->object))
        return cell_string(input, STR(""));
    Str size = value_string_at(input->object, "status.capacity.storage");
    return cell_string(input, size.len ? size : STR("0"));
}

static Value *volume_claim(const CellInput *input) {
    const Value *claim = value_at(input->object, "spec.claimRef");
    if (!claim)
        return cell_string(input, STR(""));
    return cell_string(input, arena_printf(input->arena, "%.*s/%.*s",
                                           STR_ARG(value_string_at(claim, "namespace")),
                                           STR_ARG(value_string_at(claim, "name"))));
}

static Str annotation(const Value *object, Str key) {
    const Value *value = value_get(value_at(object, "metadata.annotations"), key);
    return value && value->kind == VALUE_STRING ? value->string : STR_NONE;
}

// GetPersistentVolumeClaimClass: the annotation was there before the field.
static Value *storage_class(const CellInput *input) {
    Str old = annotation(input->object, STR("volume.beta.kubernetes.io/storage-class"));
    return cell_string(input,
                       old.ptr ? old : value_string_at(input->object, "spec.storageClassName"));
}

static Value *name_with_default(const CellInput *input, const char *const *keys, size_t n) {
    Str name = value_string_at(input->object, "metadata.name");
    for (size_t i = 0; i < n; i++)
        if (str_eq(annotation(input->object, str_from(keys[i])), STR("true")))
            return cell_string(input, arena_printf(input->arena, "%.*s (default)", STR_ARG(name)));
    return cell_string(input, name);
}

static Value *storage_class_name(const CellInput *input) {
    static const char *const keys[] = {"storageclass.kubernetes.io/is-default-class",
                                       "storageclass.beta.kubernetes.io/is-default-class"};
    return name_with_default(input, keys, 2);
}

static Value *attributes_class_name(const CellInput *input) {
    static const char *const keys[] = {
        "volumeattributesclass.alpha.kubernetes.io/is-default-class"};
    return name_with_default(input, keys, 1);
}

static Value *csi_driver_audiences(const CellInput *input) {
    const Value *requests = value_at(input->object, "spec.tokenRequests");
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; i < cell_count(requests); i++) {
        Str audience = value_string_at(requests->items[i], "audience");
        words_add(&words, audience.ptr ? audience : STR(""));
    }
    return cell_string(input, words_join(&words, STR(","), STR("<unset>")));
}

CellFunction table_storage_cell(Str name) {
    static const CellEntry table[] = {
        {STR("volume_phase"), volume_phase},
        {STR("volume_capacity"), volume_capacity},
        {STR("volume_claim"), volume_claim},
        {STR("volume_storage_class"), storage_class},
        {STR("access_modes"), access_modes},
        {STR("claim_capacity"), claim_capacity},
        {STR("claim_access_modes"), claim_access_modes},
        {STR("claim_storage_class"), storage_class},
        {STR("storage_class_name"), storage_class_name},
        {STR("attributes_class_name"), attributes_class_name},
        {STR("csi_driver_audiences"), csi_driver_audiences},
    };
    return cell_find(table, sizeof table / sizeof *table, name);
}

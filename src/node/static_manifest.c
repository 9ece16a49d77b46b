#include "node/static_manifest.h"

#include <stdlib.h>

#include "base/memory.h"
#include "kinds/kinds.h"
#include "pki/pki.h"
#include "schema/check.h"

#define HASH "kubernetes.io/config.hash"
#define SOURCE "kubernetes.io/config.source"
#define MIRROR "kubernetes.io/config.mirror"
#define UID_LENGTH 32

static Str json_of(Arena *arena, const Value *value) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(value, &buf);
    Str text = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}

static StaticManifest *manifest_new(Str namespace_, Str name, Str uid, Str json) {
    const Str parts[] = {namespace_, name, uid, json};
    size_t size = sizeof(StaticManifest);
    for (size_t i = 0; i < 4; i++)
        size += parts[i].len;
    StaticManifest *manifest = memory_zalloc(size);
    Str *const into[] = {&manifest->namespace_, &manifest->name, &manifest->uid, &manifest->json};
    char *at = (char *)(manifest + 1);
    for (size_t i = 0; i < 4; i++) {
        memcpy(at, parts[i].ptr, parts[i].len);
        *into[i] = str_of(at, parts[i].len);
        at += parts[i].len;
    }
    return manifest;
}

StaticManifest *static_manifest_copy(const StaticManifest *manifest) {
    return manifest_new(manifest->namespace_, manifest->name, manifest->uid, manifest->json);
}

void static_manifest_free(StaticManifest *manifest) {
    free(manifest);
}

static Str uid_of(Arena *arena, Str text, Str path, Str node) {
    Str parts[] = {node, path, text};
    Str hash = pki_sha256_hex(arena, arena_concat(arena, parts, 3, STR("\n")));
    return str_slice(hash, 0, UID_LENGTH);
}

// Nothing takes it off its node again: pkg/kubelet/config/common.go applyDefaults().
static void tolerate_all(Arena *arena, Value *spec) {
    Value *list = value_get(spec, STR("tolerations"));
    if (!list || list->kind != VALUE_ARRAY) {
        list = value_new_array(arena);
        value_set(arena, spec, STR("tolerations"), list);
    }
    Value *all = value_new_object(arena);
    value_set_str(arena, all, STR("operator"), STR("Exists"));
    value_set_str(arena, all, STR("effect"), STR("NoExecute"));
    value_push(arena, list, all);
}

static void complete(Arena *arena, Value *pod, Str uid, Str node) {
    Value *metadata = value_at_make(arena, pod, "metadata");
    Value *annotations = value_at_make(arena, metadata, "annotations");
    Value *spec = value_at_make(arena, pod, "spec");
    Str name = value_string_at(metadata, "name");
    value_set_str(arena, metadata, STR("uid"), uid);
    value_set_str(arena, metadata, STR("name"),
                  arena_printf(arena, "%.*s-%.*s", STR_ARG(name), STR_ARG(node)));
    if (!value_string_at(metadata, "namespace").len)
        value_set_str(arena, metadata, STR("namespace"), STR("default"));
    value_set_str(arena, annotations, STR(HASH), uid);
    value_set_str(arena, annotations, STR(SOURCE), STR("file"));
    value_set_str(arena, spec, STR("nodeName"), node);
    tolerate_all(arena, spec);
    value_unset(pod, STR("status"));
}

static bool check(Arena *arena, Value *pod, Str *ret_message) {
    const Resource *pods = kinds_resource_core_v1_pods();
    ValuePaths unknown = {0};
    if (schema_normalize(arena, pods->type, pod, &unknown, ret_message) != 0)
        return false;
    schema_default(arena, pods, pod);
    FieldErrors errors = {.arena = arena};
    schema_validate(&errors, pods, pod, NULL);
    if (errors.n)
        *ret_message = arena_printf(arena, "%.*s: %.*s", STR_ARG(errors.items[0].path),
                                    STR_ARG(errors.items[0].message));
    return errors.n == 0;
}

StaticManifest *static_manifest_parse(Str text, Str path, Str node, Str *ret_message,
                                      Arena *arena) {
    Value *pod;
    ParseError error;
    if (value_parse_yaml(arena, text, NULL, &pod, &error) != 0) {
        *ret_message = arena_printf(arena, "line %zu: %.*s", error.line, STR_ARG(error.message));
        return NULL;
    }
    if (!str_eq(value_string_at(pod, "kind"), STR("Pod")) ||
        !str_eq(value_string_at(pod, "apiVersion"), STR("v1"))) {
        *ret_message = STR("it is no Pod of apiVersion v1");
        return NULL;
    }
    if (!value_string_at(pod, "metadata.name").len) {
        *ret_message = STR("metadata.name: Required value");
        return NULL;
    }
    Str uid = uid_of(arena, text, path, node);
    complete(arena, pod, uid, node);
    if (!check(arena, pod, ret_message))
        return NULL;
    return manifest_new(value_string_at(pod, "metadata.namespace"),
                        value_string_at(pod, "metadata.name"), uid, json_of(arena, pod));
}

Str static_manifest_mirror(Arena *arena, const StaticManifest *manifest, Str node, Str node_uid) {
    Value *pod;
    ParseError error;
    if (value_parse_json(arena, manifest->json, NULL, &pod, &error) != 0)
        abort(); // we wrote it
    Value *metadata = value_at(pod, "metadata"), *owners = value_new_array(arena);
    Value *owner = value_new_object(arena);
    value_unset(metadata, STR("uid"));
    value_set_str(arena, value_at(metadata, "annotations"), STR(MIRROR), manifest->uid);
    value_set_str(arena, owner, STR("apiVersion"), STR("v1"));
    value_set_str(arena, owner, STR("kind"), STR("Node"));
    value_set_str(arena, owner, STR("name"), node);
    value_set_str(arena, owner, STR("uid"), node_uid);
    value_set_bool(arena, owner, STR("controller"), true);
    value_push(arena, owners, owner);
    value_set(arena, metadata, STR("ownerReferences"), owners);
    return json_of(arena, pod);
}

Str static_manifest_hash_of_mirror(Arena *arena, Str json) {
    static const char mark[] = "\"" MIRROR "\"";
    if (!memmem(json.ptr, json.len, mark, sizeof mark - 1))
        return STR_NONE;
    Pod pod;
    if (typed_from_json(arena, kinds_type_Pod(), json, &pod) != 0)
        return STR_NONE;
    Str hash = str_map_get(&pod.metadata.annotations, STR(MIRROR));
    return hash.ptr && pod.metadata.deletion_timestamp ? STR("") : hash;
}

#include "node/image_secrets.h"

#include "base/memory.h"
#include "node/references.h"

struct ImageSecrets {
    NodeAgent *agent;
    Arena *arena;
    Str *names;
    Reference **references;
    size_t n;
    Str *texts;
    size_t n_texts;
    Str missing;
    bool finished;
    LoopTask check;
    void (*done)(void *user);
    void *user;
};

static Str text_of(Arena *arena, const Reference *reference) {
    static const struct {
        Str type, key;
    } forms[] = {{STR("kubernetes.io/dockerconfigjson"), STR(".dockerconfigjson")},
                 {STR("kubernetes.io/dockercfg"), STR(".dockercfg")}};
    Secret secret;
    if (reference_state(reference) != REFERENCE_FOUND ||
        typed_from_json(arena, kinds_type_Secret(), arena_str(arena, reference_json(reference)),
                        &secret) != 0)
        return STR_NONE;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (str_eq(secret.type, forms[i].type))
            return str_map_get(&secret.data, forms[i].key);
    return STR_NONE;
}

static void drop_references(ImageSecrets *secrets) {
    for (size_t i = 0; i < secrets->n; i++)
        reference_release(secrets->references[i]);
    secrets->n = 0;
}

static void check(void *user) {
    ImageSecrets *secrets = user;
    if (secrets->finished)
        return;
    for (size_t i = 0; i < secrets->n; i++)
        if (reference_state(secrets->references[i]) == REFERENCE_PENDING)
            return;
    secrets->finished = true;
    Str *missing = arena_array_of(secrets->arena, Str, secrets->n);
    size_t n_missing = 0;
    for (size_t i = 0; i < secrets->n; i++) {
        Str text = text_of(secrets->arena, secrets->references[i]);
        if (text.ptr)
            secrets->texts[secrets->n_texts++] = text;
        else
            missing[n_missing++] = secrets->names[i];
    }
    secrets->missing = arena_concat(secrets->arena, missing, n_missing, STR(", "));
    drop_references(secrets);
    secrets->done(secrets->user);
}

static void on_change(void *user) {
    ImageSecrets *secrets = user;
    loop_post(secrets->agent->loop, &secrets->check);
}

ImageSecrets *image_secrets_new(NodeAgent *agent, const Pod *pod, void (*done)(void *user),
                                void *user) {
    const PodSpec *spec = &pod->spec;
    Arena *arena = arena_new();
    ImageSecrets *secrets = arena_new_of(arena, ImageSecrets);
    secrets->agent = agent;
    secrets->arena = arena;
    secrets->done = done;
    secrets->user = user;
    secrets->check = (LoopTask){.fn = check, .user = secrets};
    size_t n = spec->image_pull_secrets.len;
    secrets->names = arena_array_of(arena, Str, n);
    secrets->references = arena_array_of(arena, Reference *, n);
    secrets->texts = arena_array_of(arena, Str, n);
    for (size_t i = 0; i < n; i++) {
        Str name = arena_str(arena, spec->image_pull_secrets.items[i].name);
        if (!name.len)
            continue;
        secrets->names[secrets->n] = name;
        secrets->references[secrets->n++] =
            reference_acquire(agent->references, kinds_resource_core_v1_secrets(),
                              pod->metadata.namespace, name, on_change, secrets);
    }
    on_change(secrets);
    return secrets;
}

void image_secrets_free(ImageSecrets *secrets) {
    if (!secrets)
        return;
    drop_references(secrets);
    loop_task_cancel(secrets->agent->loop, &secrets->check);
    arena_free(secrets->arena);
}

size_t image_secrets_texts(const ImageSecrets *secrets, const Str **ret) {
    *ret = secrets ? secrets->texts : NULL;
    return secrets ? secrets->n_texts : 0;
}

Str image_secrets_missing(const ImageSecrets *secrets) {
    return secrets->missing;
}

bool image_secrets_equal(const ImageSecrets *a, const ImageSecrets *b) {
    const Str *left, *right;
    size_t n = image_secrets_texts(a, &left);
    if (image_secrets_texts(b, &right) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!str_eq(left[i], right[i]))
            return false;
    return true;
}

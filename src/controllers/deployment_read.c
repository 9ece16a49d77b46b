#include <limits.h>
#include <stdio.h>

#include "controllers/deployment.h"
#include "controllers/int_or_percent.h"

#define HASH_LABEL "pod-template-hash"
#define HISTORY_MAX 2000 // bytes of the annotation (maxRevHistoryLengthInChars)

// ---- the deployment

// deploymentutil.ResolveFenceposts, MaxSurge and MaxUnavailable.
static void read_strategy(Rollout *rollout) {
    const Value *strategy = value_at(rollout->deployment, "spec.strategy");
    rollout->rolling = !str_eq(value_string_at(strategy, "type"), STR("Recreate"));
    if (!rollout->rolling)
        return;
    const Value *rolling = value_get(strategy, STR("rollingUpdate"));
    int64_t replicas = rollout->replicas;
    int64_t surge = int_or_percent(value_get(rolling, STR("maxSurge")), replicas, true, 0);
    int64_t missing = int_or_percent(value_get(rolling, STR("maxUnavailable")), replicas, false, 0);
    if (!surge && !missing)
        missing = 1; // percentages of few pods: something must give
    rollout->max_surge = (int32_t)(surge < INT32_MAX - replicas ? surge : INT32_MAX - replicas);
    rollout->max_unavailable = (int32_t)(missing < replicas ? missing : replicas);
}

// MaxInt32 stands for "no limit".
static int64_t limit_at(const Value *deployment, const char *path) {
    int64_t limit = value_int_at(deployment, path, -1);
    return limit == INT32_MAX ? -1 : limit;
}

Rollout *rollout_new(Arena *arena, Value *deployment, int64_t now) {
    Rollout *rollout = arena_new_of(arena, Rollout);
    const Value *conditions = value_at(deployment, "status.conditions");
    rollout->arena = arena;
    rollout->now = now;
    rollout->deployment = deployment;
    rollout->name = value_string_at(deployment, "metadata.name");
    rollout->replicas = (int32_t)value_int_at(deployment, "spec.replicas", 1);
    rollout->paused = value_bool_at(deployment, "spec.paused", false);
    rollout->deleting = value_string_at(deployment, "metadata.deletionTimestamp").len > 0;
    rollout->history_limit = limit_at(deployment, "spec.revisionHistoryLimit");
    rollout->deadline = limit_at(deployment, "spec.progressDeadlineSeconds");
    rollout->collisions = value_int_at(deployment, "status.collisionCount", -1);
    rollout->conditions = value_new_array(arena);
    for (uint32_t i = 0; conditions && i < conditions->n; i++)
        value_push(arena, rollout->conditions, conditions->items[i]);
    read_strategy(rollout);
    return rollout;
}

// ---- its sets

Str rollout_annotation(const Value *object, const char *name) {
    const Value *value = value_get(value_at(object, "metadata.annotations"), str_from(name));
    return value && value->kind == VALUE_STRING ? value->string : STR_NONE;
}

void rollout_annotate(Arena *arena, Value *object, const char *name, Str value) {
    value_set_str(arena, value_at_make(arena, object, "metadata.annotations"), str_from(name),
                  value);
}

static int64_t number_of(const Value *object, const char *annotation) {
    int64_t number;
    return str_to_i64(rollout_annotation(object, annotation), &number) == 0 && number > 0 ? number
                                                                                          : 0;
}

static int32_t count_at(const Value *set, const char *path, int64_t otherwise) {
    return (int32_t)value_int_at(set, path, otherwise);
}

static void insert(Rollout *rollout, RolloutSet *set) {
    size_t size = sizeof(RolloutSet *), i = rollout->n++;
    rollout->sets = arena_grow(rollout->arena, rollout->sets, i * size, (i + 1) * size);
    for (; i; i--) {
        const RolloutSet *before = rollout->sets[i - 1];
        int order = str_cmp(before->created, set->created);
        if (order < 0 || (order == 0 && str_cmp(before->name, set->name) <= 0))
            break;
        rollout->sets[i] = rollout->sets[i - 1];
    }
    rollout->sets[i] = set;
}

void rollout_add(Rollout *rollout, Value *object) {
    RolloutSet *set = arena_new_of(rollout->arena, RolloutSet);
    int64_t generation = value_int_at(object, "metadata.generation", 0);
    set->object = object;
    set->name = value_string_at(object, "metadata.name");
    set->uid = value_string_at(object, "metadata.uid");
    set->created = value_string_at(object, "metadata.creationTimestamp");
    set->revision = number_of(object, ROLLOUT_REVISION);
    set->replicas = set->wanted = count_at(object, "spec.replicas", 1);
    set->actual = count_at(object, "status.replicas", 0);
    set->ready = count_at(object, "status.readyReplicas", 0);
    set->available = count_at(object, "status.availableReplicas", 0);
    set->terminating = count_at(object, "status.terminatingReplicas", 0);
    set->deleting = value_string_at(object, "metadata.deletionTimestamp").len > 0;
    set->observed = value_int_at(object, "status.observedGeneration", 0) >= generation;
    insert(rollout, set);
}

static bool without_hash(const Value *labels, const Value *other) {
    for (uint32_t i = 0; labels && i < labels->n; i++) {
        Str key = labels->members[i].key;
        const Value *value = value_get(other, key);
        if (!str_eq(key, STR(HASH_LABEL)) &&
            !(value && value_equal(value, labels->members[i].value)))
            return false;
    }
    return true;
}

// Members of `a` that differ in `b`, `skip` aside.
static bool same_but(const Value *a, const Value *b, Str skip) {
    for (uint32_t i = 0; a && i < a->n; i++) {
        const Member *member = &a->members[i];
        const Value *other = value_get(b, member->key);
        if (!str_eq(member->key, skip) && !(other && value_equal(member->value, other)))
            return false;
    }
    return true;
}

bool rollout_same_template(const Value *a, const Value *b) {
    const Value *meta_a = value_get(a, STR("metadata")), *meta_b = value_get(b, STR("metadata"));
    const Value *labels_a = value_get(meta_a, STR("labels"));
    const Value *labels_b = value_get(meta_b, STR("labels"));
    return without_hash(labels_a, labels_b) && without_hash(labels_b, labels_a) &&
           same_but(meta_a, meta_b, STR("labels")) && same_but(meta_b, meta_a, STR("labels")) &&
           same_but(a, b, STR("metadata")) && same_but(b, a, STR("metadata"));
}

void rollout_ready(Rollout *rollout) {
    const Value *template = value_at(rollout->deployment, "spec.template");
    for (size_t i = 0; i < rollout->n && !rollout->current; i++) // the oldest of several
        if (rollout_same_template(value_at(rollout->sets[i]->object, "spec.template"), template))
            rollout->current = rollout->sets[i];
}

// ---- a new set

// FNV-1a of the template and of how many names were taken, in letters that spell no word
// (rand.SafeEncodeString). Which function it is does not matter to anybody; a set is recognized by
// its template.
static Str hash_of(const Rollout *rollout) {
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    _buf_deinit_ Buf text = BUF_INIT(VALUE_MAX_BYTES + 32);
    value_write_json(value_at(rollout->deployment, "spec.template"), &text);
    if (rollout->collisions >= 0)
        buf_printf(&text, "%lld", (long long)rollout->collisions);
    Str bytes = buf_view(&text);
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.ptr[i]) * 16777619u;
    char digits[16];
    int n = snprintf(digits, sizeof digits, "%u", hash);
    for (int i = 0; i < n; i++)
        digits[i] = letters[(unsigned char)digits[i] % (sizeof letters - 1)];
    return arena_str(rollout->arena, str_of(digits, (size_t)n));
}

void rollout_add_current(Rollout *rollout, int32_t replicas) {
    RolloutSet *set = arena_new_of(rollout->arena, RolloutSet);
    set->name = arena_printf(rollout->arena, "%.*s-%.*s", STR_ARG(rollout->name),
                             STR_ARG(hash_of(rollout)));
    set->created = STR("~"); // after every time
    set->replicas = set->wanted = replicas;
    insert(rollout, set);
    rollout->current = set;
}

static Str number(const Rollout *rollout, int64_t n) {
    return arena_printf(rollout->arena, "%lld", (long long)n);
}

static void set_annotation(const Rollout *rollout, Value *object, const char *name, Str value,
                           bool *changed) {
    if (str_eq(rollout_annotation(object, name), value))
        return;
    rollout_annotate(rollout->arena, object, name, value);
    *changed = true;
}

// deploymentutil.SetReplicasAnnotations
static bool annotate_size(const Rollout *rollout, Value *object) {
    bool changed = false;
    int64_t desired = rollout->replicas;
    set_annotation(rollout, object, ROLLOUT_DESIRED, number(rollout, desired), &changed);
    set_annotation(rollout, object, ROLLOUT_MAX, number(rollout, desired + rollout->max_surge),
                   &changed);
    return changed;
}

// All but what is said about this deployment alone (annotationsToSkip).
static bool copy_annotations(const Rollout *rollout, Value *object) {
    static const char *const skipped[] = {"kubectl.kubernetes.io/last-applied-configuration",
                                          ROLLOUT_REVISION,
                                          ROLLOUT_HISTORY,
                                          ROLLOUT_DESIRED,
                                          ROLLOUT_MAX,
                                          "deprecated.deployment.rollback.to"};
    const Value *given = value_at(rollout->deployment, "metadata.annotations");
    bool changed = false;
    for (uint32_t i = 0; given && i < given->n; i++) {
        bool skip = false;
        Str key = given->members[i].key;
        for (size_t j = 0; j < sizeof skipped / sizeof *skipped; j++)
            skip |= str_eq(key, str_from(skipped[j]));
        if (!skip)
            set_annotation(rollout, object, arena_cstr(rollout->arena, key),
                           given->members[i].value->string, &changed);
    }
    return changed;
}

static int64_t next_revision(const Rollout *rollout) {
    int64_t most = 0;
    for (size_t i = 0; i < rollout->n; i++)
        if (rollout->sets[i] != rollout->current && rollout->sets[i]->revision > most)
            most = rollout->sets[i]->revision;
    return most + 1;
}

Value *rollout_new_set(const Rollout *rollout, Value *owner) {
    Arena *arena = rollout->arena;
    Value *set = value_new_object(arena), *owners = value_new_array(arena);
    Value *template = value_copy(arena, value_at(rollout->deployment, "spec.template"));
    Value *selector = value_copy(arena, value_at(rollout->deployment, "spec.selector"));
    Str hash = str_slice(rollout->current->name, rollout->name.len + 1, rollout->current->name.len);
    int64_t ready_seconds = value_int_at(rollout->deployment, "spec.minReadySeconds", 0);
    value_set_str(arena, value_at_make(arena, template, "metadata.labels"), STR(HASH_LABEL), hash);
    value_set_str(arena, value_at_make(arena, selector, "matchLabels"), STR(HASH_LABEL), hash);
    value_push(arena, owners, owner);
    value_set_str(arena, set, STR("apiVersion"), STR("apps/v1"));
    value_set_str(arena, set, STR("kind"), STR("ReplicaSet"));
    Value *metadata = value_at_make(arena, set, "metadata");
    Value *spec = value_at_make(arena, set, "spec");
    value_set_str(arena, metadata, STR("name"), rollout->current->name);
    value_set_str(arena, metadata, STR("namespace"),
                  value_string_at(rollout->deployment, "metadata.namespace"));
    value_set(arena, metadata, STR("labels"),
              value_copy(arena, value_at(template, "metadata.labels")));
    value_set(arena, metadata, STR("ownerReferences"), owners);
    value_set_int(arena, spec, STR("replicas"), rollout->current->wanted);
    if (ready_seconds)
        value_set_int(arena, spec, STR("minReadySeconds"), ready_seconds);
    value_set(arena, spec, STR("selector"), selector);
    value_set(arena, spec, STR("template"), template);
    copy_annotations(rollout, set);
    annotate_size(rollout, set);
    rollout_annotate(arena, set, ROLLOUT_REVISION, number(rollout, next_revision(rollout)));
    return set;
}

// ---- sets that exist

// Remembers a revision that this set had before it became the current one again, and drops the
// oldest when there are too many.
static void remember(const Rollout *rollout, Value *object, Str revision) {
    Str old = rollout_annotation(object, ROLLOUT_HISTORY);
    while (old.len && old.len + 1 + revision.len > HISTORY_MAX)
        str_cut(&old, ',');
    Str text = old.len ? arena_printf(rollout->arena, "%.*s,%.*s", STR_ARG(old), STR_ARG(revision))
                       : revision;
    rollout_annotate(rollout->arena, object, ROLLOUT_HISTORY, text);
}

// deploymentutil.SetNewReplicaSetAnnotations
void rollout_sync_revision(Rollout *rollout) {
    RolloutSet *current = rollout->current;
    int64_t revision = next_revision(rollout);
    if (!current)
        return;
    rollout->revision = revision > current->revision ? revision : current->revision;
    if (!current->object)
        return;
    bool changed = copy_annotations(rollout, current->object);
    Str old = rollout_annotation(current->object, ROLLOUT_REVISION);
    if (current->revision < revision) {
        rollout_annotate(rollout->arena, current->object, ROLLOUT_REVISION,
                         number(rollout, revision));
        if (old.len)
            remember(rollout, current->object, old);
        changed = true;
    }
    int64_t ready_seconds = value_int_at(rollout->deployment, "spec.minReadySeconds", 0);
    if (value_int_at(current->object, "spec.minReadySeconds", 0) != ready_seconds) {
        value_set_int(rollout->arena, value_get(current->object, STR("spec")),
                      STR("minReadySeconds"), ready_seconds);
        changed = true;
    }
    current->annotated |= changed;
}

bool rollout_apply(const Rollout *rollout, RolloutSet *set) {
    bool resized = set->wanted != set->replicas;
    if (resized)
        value_set_int(rollout->arena, value_get(set->object, STR("spec")), STR("replicas"),
                      set->wanted);
    if (resized || set->sized)
        set->annotated |= annotate_size(rollout, set->object);
    return resized || set->annotated;
}

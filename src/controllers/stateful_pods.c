#include "controllers/stateful_pods.h"

#define CLAIMS_AT_ONCE 32

int64_t stateful_ordinal(Str set, Str pod) {
    uint64_t ordinal;
    if (pod.len < set.len + 2 || !str_starts_with(pod, set) || pod.ptr[set.len] != '-')
        return -1;
    Str digits = str_slice(pod, set.len + 1, pod.len);
    if (str_to_u64(digits, &ordinal) != 0 || ordinal > 2LL * ORDINAL_MAX ||
        (digits.len > 1 && digits.ptr[0] == '0'))
        return -1;
    return (int64_t)ordinal;
}

static Str name_of(const PodOwner *owner, int64_t ordinal) {
    return arena_printf(owner->reconcile->arena, "%.*s-%lld", STR_ARG(owner->reconcile->name),
                        (long long)ordinal);
}

static Str claim_name(const PodOwner *owner, const Value *template, int64_t ordinal) {
    return arena_printf(owner->reconcile->arena, "%.*s-%.*s-%lld",
                        STR_ARG(value_string_at(template, "metadata.name")),
                        STR_ARG(owner->reconcile->name), (long long)ordinal);
}

static const Value *claim_templates(const PodOwner *owner) {
    return value_at(owner->object, "spec.volumeClaimTemplates");
}

// ---- pods

#define NAME_LABEL "statefulset.kubernetes.io/pod-name"
#define INDEX_LABEL "apps.kubernetes.io/pod-index"

static void set_identity(Arena *arena, Value *labels, Str name, int64_t ordinal) {
    value_set_str(arena, labels, STR(NAME_LABEL), name);
    value_set_str(arena, labels, STR(INDEX_LABEL), arena_printf(arena, "%lld", (long long)ordinal));
}

static bool is_claimed(const Value *templates, Str volume) {
    for (uint32_t i = 0; templates && i < templates->n; i++)
        if (str_eq(value_string_at(templates->items[i], "metadata.name"), volume))
            return true;
    return false;
}

// A claim wins over the template's volume of that name.
static void set_volumes(const PodOwner *owner, Value *spec, int64_t ordinal) {
    Arena *arena = owner->reconcile->arena;
    const Value *templates = claim_templates(owner), *given = value_get(spec, STR("volumes"));
    Value *volumes = value_new_array(arena);
    for (uint32_t i = 0; templates && i < templates->n; i++) {
        Value *volume = value_new_object(arena), *source = value_new_object(arena);
        value_set_str(arena, source, STR("claimName"),
                      claim_name(owner, templates->items[i], ordinal));
        value_set_str(arena, volume, STR("name"),
                      value_string_at(templates->items[i], "metadata.name"));
        value_set(arena, volume, STR("persistentVolumeClaim"), source);
        value_push(arena, volumes, volume);
    }
    for (uint32_t i = 0; given && i < given->n; i++)
        if (!is_claimed(templates, value_string_at(given->items[i], "name")))
            value_push(arena, volumes, given->items[i]);
    if (volumes->n)
        value_set(arena, spec, STR("volumes"), volumes);
}

Value *stateful_pod(const PodOwner *owner, const Value *template, int64_t ordinal, Str revision) {
    Arena *arena = owner->reconcile->arena;
    Value *pod = pod_from_template(owner, template);
    Value *metadata = value_get(pod, STR("metadata"));
    Value *labels = value_at_make(arena, metadata, "labels");
    Value *spec = value_copy(arena, value_get(pod, STR("spec")));
    Str name = name_of(owner, ordinal);
    value_unset(metadata, STR("generateName"));
    value_set_str(arena, metadata, STR("name"), name);
    set_identity(arena, labels, name, ordinal);
    value_set_str(arena, labels, STR("controller-revision-hash"), revision);
    value_set_str(arena, spec, STR("hostname"), name);
    Str service = value_string_at(owner->object, "spec.serviceName");
    if (service.len)
        value_set_str(arena, spec, STR("subdomain"), service);
    set_volumes(owner, spec, ordinal);
    value_set(arena, pod, STR("spec"), spec);
    return pod;
}

// ---- claims

typedef enum StepKind { MAKES_CLAIM, CHANGES_CLAIM, LABELS_POD } StepKind;

struct ClaimStep {
    ClaimPlan *plan;
    StepKind kind;
    Str name, pod, body;
};

static void add_step(ClaimPlan *plan, StepKind kind, Str name, Str pod, const Value *content) {
    Arena *arena = plan->owner->reconcile->arena;
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(content, &body);
    plan->steps = arena_grow(arena, plan->steps, plan->n * sizeof *plan->steps,
                             (plan->n + 1) * sizeof *plan->steps);
    plan->steps[plan->n++] = (ClaimStep){plan, kind, name, pod, arena_str(arena, buf_view(&body))};
}

// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention
static bool deletes(const PodOwner *owner, const char *when) {
    const Value *policy = value_at(owner->object, "spec.persistentVolumeClaimRetentionPolicy");
    return str_eq(value_string_at(policy, when), STR("Delete"));
}

static Value *claim_of(const PodOwner *owner, const Value *template, Str name) {
    static const char *const kept[] = {"labels", "annotations", "finalizers"};
    Arena *arena = owner->reconcile->arena;
    Value *claim = value_new_object(arena), *metadata = value_new_object(arena);
    const Value *given = value_get(template, STR("metadata"));
    value_set_str(arena, metadata, STR("name"), name);
    value_set_str(arena, metadata, STR("namespace"), owner->reconcile->namespace_);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const Value *part = value_get(given, str_from(kept[i]));
        if (part)
            value_set(arena, metadata, str_from(kept[i]), value_copy(arena, part));
    }
    const Value *selected = value_at(owner->object, "spec.selector.matchLabels");
    for (uint32_t i = 0; selected && i < selected->n; i++)
        value_set(arena, value_at_make(arena, metadata, "labels"), selected->members[i].key,
                  selected->members[i].value);
    if (deletes(owner, "whenDeleted")) {
        Value *owners = value_new_array(arena);
        value_push(arena, owners, pod_owner_reference(owner));
        value_set(arena, metadata, STR("ownerReferences"), owners);
    }
    value_set_str(arena, claim, STR("apiVersion"), STR("v1"));
    value_set_str(arena, claim, STR("kind"), STR("PersistentVolumeClaim"));
    value_set(arena, claim, STR("metadata"), metadata);
    Value *spec = value_get(template, STR("spec"));
    value_set(arena, claim, STR("spec"), spec ? spec : value_new_object(arena));
    return claim;
}

static Value *pod_reference(Arena *arena, const PodFacts *pod) {
    Value *reference = value_new_object(arena);
    value_set_str(arena, reference, STR("apiVersion"), STR("v1"));
    value_set_str(arena, reference, STR("kind"), STR("Pod"));
    value_set_str(arena, reference, STR("name"), arena_str(arena, pod->name));
    value_set_str(arena, reference, STR("uid"), arena_str(arena, pod->uid));
    value_set_bool(arena, reference, STR("controller"), true);
    value_set_bool(arena, reference, STR("blockOwnerDeletion"), true);
    return reference;
}

typedef struct Owners { // of a claim, as the policy wants them
    Value *wanted;
    bool by_set, by_pod, by_other; // as they are; by_other: another controller
    bool stale;                    // by a pod of that name which is gone
} Owners;

static Owners owners_of(const PodOwner *owner, const Value *claim, Str pod_name,
                        const PodFacts *pod) {
    Arena *arena = owner->reconcile->arena;
    Owners owners = {.wanted = value_new_array(arena)};
    const Value *given = value_at(claim, "metadata.ownerReferences");
    for (uint32_t i = 0; given && i < given->n; i++) {
        Value *reference = given->items[i];
        Str uid = value_string_at(reference, "uid");
        bool of_pod = str_eq(value_string_at(reference, "kind"), STR("Pod")) &&
                      str_eq(value_string_at(reference, "name"), pod_name);
        if (str_eq(uid, owner->uid)) {
            owners.by_set = true;
        } else if (of_pod) {
            owners.by_pod = pod && str_eq(uid, pod->uid);
            owners.stale = !owners.by_pod;
        } else {
            owners.by_other |= value_bool_at(reference, "controller", false);
            value_push(arena, owners.wanted, reference);
        }
    }
    return owners;
}

// Keeps the claim's owners as the policy has them, so that the garbage collector deletes it when it
// should (updateClaimOwnerRefForSetAndPod).
static void plan_owners(ClaimPlan *plan, Value *claim, Str name, Owners *owners, Str pod_name,
                        const PodFacts *pod, bool leaves) {
    Arena *arena = plan->owner->reconcile->arena;
    bool by_pod = leaves && pod && deletes(plan->owner, "whenScaled");
    bool by_set = !by_pod && deletes(plan->owner, "whenDeleted");
    if ((by_pod == owners->by_pod && by_set == owners->by_set) || owners->by_other)
        return;
    if (by_pod)
        value_push(arena, owners->wanted, pod_reference(arena, pod));
    if (by_set)
        value_push(arena, owners->wanted, pod_owner_reference(plan->owner));
    value_set(arena, value_get(claim, STR("metadata")), STR("ownerReferences"), owners->wanted);
    add_step(plan, CHANGES_CLAIM, name, pod_name, claim);
}

bool claim_plan_pod(ClaimPlan *plan, int64_t ordinal, const PodFacts *pod, bool makes,
                    bool leaves) {
    const PodOwner *owner = plan->owner;
    const Reconcile *r = owner->reconcile;
    const Value *templates = claim_templates(owner);
    Str pod_name = name_of(owner, ordinal);
    bool usable = true;
    for (uint32_t i = 0; templates && i < templates->n; i++) {
        Str name = claim_name(owner, templates->items[i], ordinal);
        const InformerObject *object = informer_get(plan->claims, r->namespace_, name);
        Value *claim;
        ParseError error;
        if (!object) {
            if (makes)
                add_step(plan, MAKES_CLAIM, name, pod_name,
                         claim_of(owner, templates->items[i], name));
            continue;
        }
        Str text = arena_str(r->arena, bytes_str(object->bytes));
        if (value_parse_json(r->arena, text, NULL, &claim, &error) != 0)
            continue;
        Owners owners = owners_of(owner, claim, pod_name, pod);
        if (value_string_at(claim, "metadata.deletionTimestamp").len || owners.stale)
            usable = false;
        else
            plan_owners(plan, claim, name, &owners, pod_name, pod, leaves);
    }
    return usable;
}

// An adopted pod has not got them all (updateIdentity).
void claim_plan_labels(ClaimPlan *plan, int64_t ordinal, const PodFacts *pod) {
    Arena *arena = plan->owner->reconcile->arena;
    if (pod->deleting || (str_map_get(&pod->labels, STR(NAME_LABEL)).len &&
                          str_map_get(&pod->labels, STR(INDEX_LABEL)).len))
        return;
    Value *patch = value_new_object(arena);
    Str name = name_of(plan->owner, ordinal);
    set_identity(arena, value_at_make(arena, patch, "metadata.labels"), name, ordinal);
    add_step(plan, LABELS_POD, name, name, patch);
}

static void go_on(ClaimPlan *plan);

static void on_step(void *user, const ClientResult *result) {
    ClaimStep *step = user;
    ClaimPlan *plan = step->plan;
    bool makes = step->kind == MAKES_CLAIM, exists = makes && result->code == 409;
    const char *error = NULL;
    bool gone = step->kind == LABELS_POD && result->code == 404;
    if (result->error && !exists && !gone) {
        plan->failed = true;
        error = result->status ? arena_cstr(result->arena, result->status->message)
                               : strerror(result->error < 0 ? -result->error : 0);
    }
    if (makes && !exists)
        plan->record(plan->owner, "create", step->name, step->pod, error);
    plan->running--;
    go_on(plan);
}

static void go_on(ClaimPlan *plan) {
    Client *client = plan->owner->reconcile->controller->client;
    while (plan->next < plan->n && plan->running < CLAIMS_AT_ONCE) {
        ClaimStep *step = &plan->steps[plan->next++];
        ClientTarget target = {.resource = step->kind == LABELS_POD
                                               ? kinds_resource_core_v1_pods()
                                               : kinds_resource_core_v1_persistentvolumeclaims(),
                               .namespace_ = plan->owner->reconcile->namespace_,
                               .name = step->kind == MAKES_CLAIM ? STR_NONE : step->name};
        plan->running++;
        if (step->kind == MAKES_CLAIM)
            client_create(client, &target, step->body, on_step, step);
        else if (step->kind == LABELS_POD)
            client_patch(client, &target, PATCH_MERGE, step->body, on_step, step);
        else
            client_update(client, &target, step->body, on_step, step);
    }
    if (!plan->running)
        plan->done(plan->user);
}

void claim_plan_run(ClaimPlan *plan, void (*done)(void *user), void *user) {
    plan->done = done;
    plan->user = user;
    go_on(plan);
}

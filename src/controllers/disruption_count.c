#include "controllers/disruption_count.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/memory.h"
#include "schema/selector.h"

typedef struct Budget {
    ListLink link; // in its namespace
    Arena *arena;
    Str namespace_, name;
    const Value *given; // the selector as it was written
    const Selector *selector;
    BudgetCount count;
} Budget;

struct BudgetCounts {
    Map *namespaces; // name -> List of Budgets; never empty
    InformerIndex *pods;
};

// ---- one budget's pods

static void remove_pod(Budget *budget, Str name) {
    BudgetPod *pod = map_remove(budget->count.pods, name);
    if (!pod)
        return;
    budget->count.healthy -= pod->healthy;
    budget->count.unmanaged -= !pod->owner;
    if (pod->owner && --pod->owner->n_pods == 0)
        free(map_remove(budget->count.owners, pod->owner->uid));
    free(pod);
}

static bool is_healthy(const Value *pod) {
    const Value *conditions = value_at(pod, "status.conditions");
    for (uint32_t i = 0; conditions && i < conditions->n; i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), STR("Ready")))
            return str_eq(value_string_at(conditions->items[i], "status"), STR("True"));
    return false;
}

static Str keep(char **at, Str text) {
    char *start = *at;
    if (text.len)
        memcpy(start, text.ptr, text.len);
    *at += text.len;
    return str_of(start, text.len);
}

static BudgetOwner *owner_of(Budget *budget, const Value *pod) {
    const Value *owners = value_at(pod, "metadata.ownerReferences"), *found = NULL;
    for (uint32_t i = 0; owners && i < owners->n && !found; i++)
        if (value_bool_at(owners->items[i], "controller", false))
            found = owners->items[i];
    if (!found)
        return NULL;
    Str version = value_string_at(found, "apiVersion"), kind = value_string_at(found, "kind");
    Str name = value_string_at(found, "name"), uid = value_string_at(found, "uid");
    BudgetOwner *owner = map_get(budget->count.owners, uid);
    if (!owner) { // one allocation, with its strings
        owner = calloc(1, sizeof *owner + version.len + kind.len + name.len + uid.len);
        if (!owner)
            abort();
        char *at = (char *)(owner + 1);
        owner->api_version = keep(&at, version);
        owner->kind = keep(&at, kind);
        owner->name = keep(&at, name);
        owner->uid = keep(&at, uid);
        map_put(budget->count.owners, uid, owner);
    }
    owner->n_pods++;
    return owner;
}

// Returns whether the pod is the budget's.
static bool add_pod(Budget *budget, Str name, const Value *pod) {
    if (!pod || !budget->selector ||
        !selector_matches(budget->selector, value_at(pod, "metadata.labels")))
        return false;
    BudgetPod *entry = memory_new(BudgetPod);
    entry->deleting = value_string_at(pod, "metadata.deletionTimestamp").len > 0;
    entry->healthy = !entry->deleting && is_healthy(pod);
    entry->owner = owner_of(budget, pod);
    budget->count.healthy += entry->healthy;
    budget->count.unmanaged += !entry->owner;
    map_put(budget->count.pods, name, entry);
    return true;
}

// ---- budgets

static Budget *find(const BudgetCounts *counts, Str namespace_, Str name) {
    const List *budgets = map_get(counts->namespaces, namespace_);
    Budget *budget;
    if (budgets)
        list_for_each(budget, budgets, link) if (str_eq(budget->name, name)) return budget;
    return NULL;
}

static void budget_free(Budget *budget) {
    MapIter it = {0};
    while (map_next(budget->count.pods, &it))
        free(it.value);
    it = (MapIter){0};
    while (map_next(budget->count.owners, &it))
        free(it.value);
    map_free(budget->count.pods);
    map_free(budget->count.owners);
    list_remove(&budget->link);
    arena_free(budget->arena);
}

static void add_present(void *user, const InformerObject *object) {
    Budget *budget = user;
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    ParseError error;
    if (value_parse_json(arena, bytes_str(object->bytes), NULL, &pod, &error) == 0)
        add_pod(budget, object->name, pod);
}

void budget_counts_put(BudgetCounts *counts, Str namespace_, Str name, const Value *selector) {
    Budget *budget = find(counts, namespace_, name);
    if (budget && selector && budget->given && value_equal(budget->given, selector))
        return;
    budget_counts_drop(counts, namespace_, name);
    Arena *arena = arena_new();
    Selector *parsed;
    Str message;
    _buf_deinit_ Buf text = BUF_INIT(VALUE_MAX_BYTES);
    Value *given = NULL;
    ParseError error;
    if (selector) { // a copy with its strings
        value_write_json(selector, &text);
        if (value_parse_json(arena, arena_str(arena, buf_view(&text)), NULL, &given, &error) != 0)
            given = NULL;
    }
    budget = arena_new_of(arena, Budget);
    budget->arena = arena;
    budget->namespace_ = arena_str(arena, namespace_);
    budget->name = arena_str(arena, name);
    budget->given = given;
    if (given && selector_from_value(arena, given, &parsed, &message) == 0)
        budget->selector = parsed;
    budget->count.pods = map_new();
    budget->count.owners = map_new();
    List *budgets = map_get(counts->namespaces, namespace_);
    if (!budgets) {
        budgets = memory_new(List);
        list_init(budgets);
        map_put(counts->namespaces, namespace_, budgets);
    }
    list_append(budgets, &budget->link);
    informer_index_each(counts->pods, namespace_, add_present, budget);
}

void budget_counts_drop(BudgetCounts *counts, Str namespace_, Str name) {
    Budget *budget = find(counts, namespace_, name);
    if (budget)
        budget_free(budget);
    const List *budgets = map_get(counts->namespaces, namespace_);
    if (budgets && list_is_empty(budgets))
        free(map_remove(counts->namespaces, namespace_));
}

const BudgetCount *budget_counts_get(const BudgetCounts *counts, Str namespace_, Str name) {
    const Budget *budget = find(counts, namespace_, name);
    return budget ? &budget->count : NULL;
}

void budget_counts_change(BudgetCounts *counts, Str namespace_, Str name, const Value *pod,
                          void (*touched)(void *user, Str namespace_, Str name), void *user) {
    const List *budgets = map_get(counts->namespaces, namespace_);
    Budget *budget;
    if (!budgets)
        return;
    list_for_each(budget, budgets, link) {
        bool was = map_get(budget->count.pods, name) != NULL;
        remove_pod(budget, name);
        if (add_pod(budget, name, pod) || was)
            touched(user, namespace_, budget->name);
    }
}

bool budget_counts_each(const BudgetCounts *counts, Str namespace_,
                        void (*visit)(void *user, Str namespace_, Str name), void *user) {
    const List *budgets = map_get(counts->namespaces, namespace_);
    const Budget *budget;
    if (budgets && visit)
        list_for_each(budget, budgets, link) visit(user, namespace_, budget->name);
    return budgets != NULL;
}

// ---- all

static void by_namespace(const InformerObject *object, InformerEmit emit, void *emit_user) {
    emit(emit_user, object->namespace_);
}

BudgetCounts *budget_counts_new(Informer *pods) {
    BudgetCounts *counts = memory_new(BudgetCounts);
    counts->namespaces = map_new();
    counts->pods = informer_add_index(pods, by_namespace);
    return counts;
}

void budget_counts_free(BudgetCounts *counts) {
    MapIter it = {0};
    while (map_next(counts->namespaces, &it)) {
        Budget *budget;
        list_for_each(budget, (List *)it.value, link) budget_free(budget);
        free(it.value);
    }
    map_free(counts->namespaces);
    free(counts);
}

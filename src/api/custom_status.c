// The status of a CustomResourceDefinition: its conditions, and which names it gets.

#include "api/custom_kinds.h"
#include "base/map.h"
#include "base/time.h"
#include "schema/quote.h"

static Value *find_condition(const Value *definition, const char *type) {
    const Value *list = value_at(definition, "status.conditions");
    for (uint32_t i = 0; list && list->kind == VALUE_ARRAY && i < list->n; i++)
        if (str_eq(value_string_at(list->items[i], "type"), str_from(type)))
            return list->items[i];
    return NULL;
}

bool definition_condition_is(const Value *definition, const char *type, const char *status) {
    return str_eq(value_string_at(find_condition(definition, type), "status"), str_from(status));
}

bool definition_set_condition(Arena *arena, Value *definition, const char *type, const char *status,
                              const char *reason, Str message, int64_t now_ns) {
    Value *condition = find_condition(definition, type);
    bool same = condition && str_eq(value_string_at(condition, "status"), str_from(status));
    if (same && str_eq(value_string_at(condition, "reason"), str_from(reason)) &&
        str_eq(value_string_at(condition, "message"), message))
        return false;
    if (!condition) {
        Value *state = value_at_make(arena, definition, "status");
        Value *list = value_get(state, STR("conditions"));
        if (!list) {
            list = value_new_array(arena);
            value_set(arena, state, STR("conditions"), list);
        }
        condition = value_new_object(arena);
        value_set_str(arena, condition, STR("type"), str_from(type));
        value_push(arena, list, condition);
    }
    value_set_str(arena, condition, STR("status"), str_from(status));
    if (!same)
        value_set_str(arena, condition, STR("lastTransitionTime"), time_format(arena, now_ns));
    value_set_str(arena, condition, STR("reason"), str_from(reason));
    value_set_str(arena, condition, STR("message"), message);
    return true;
}

// ---- names

typedef struct Verdict {
    Arena *arena;
    const char *reason; // of the last conflict; NULL: none
    Str message;
} Verdict;

static Str in_use_text(Arena *arena, Str name) {
    return arena_printf(arena, "%.*s is already in use", STR_ARG(quote_str(arena, name)));
}

// Whether a name is this definition's already, or free.
static bool decide(Verdict *verdict, Str wanted, Str accepted, const Map *used,
                   const char *reason) {
    if (str_eq(wanted, accepted) || !map_get(used, wanted))
        return true;
    verdict->reason = reason;
    verdict->message = in_use_text(verdict->arena, wanted);
    return false;
}

static bool lists(const Value *list, Str name) {
    for (uint32_t i = 0; list && list->kind == VALUE_ARRAY && i < list->n; i++)
        if (str_eq(list->items[i]->string, name))
            return true;
    return false;
}

static bool decide_short_names(Verdict *verdict, const Value *wanted, const Value *accepted,
                               const Map *used) {
    Str *problems = arena_array_of(verdict->arena, Str, wanted ? wanted->n + 1 : 1);
    size_t n = 0;
    for (uint32_t i = 0; wanted && wanted->kind == VALUE_ARRAY && i < wanted->n; i++) {
        Str name = wanted->items[i]->string;
        if (!lists(accepted, name) && map_get(used, name))
            problems[n++] = in_use_text(verdict->arena, name);
    }
    if (!n)
        return true;
    verdict->reason = "ShortNamesConflict";
    verdict->message =
        n == 1 ? problems[0]
               : arena_printf(verdict->arena, "[%.*s]",
                              STR_ARG(arena_concat(verdict->arena, problems, n, STR(", "))));
    return false;
}

static void take(Arena *arena, Value *accepted, const Value *wanted, const char *name) {
    Value *value = value_get(wanted, str_from(name));
    if (value)
        value_set(arena, accepted, str_from(name), value_copy(arena, value));
    else
        value_unset(accepted, str_from(name));
}

bool definition_accept_names(Arena *arena, Value *definition, const NamesInUse *in_use,
                             int64_t now_ns) {
    static const struct {
        const char *name, *reason;
        bool kind;
    } names[] = {{"plural", "PluralConflict", false},
                 {"singular", "SingularConflict", false},
                 {"shortNames", "ShortNamesConflict", false},
                 {"kind", "KindConflict", true},
                 {"listKind", "ListKindConflict", true}};
    const Value *wanted = value_at(definition, "spec.names");
    Value *accepted = value_at_make(arena, definition, "status.acceptedNames");
    Verdict verdict = {.arena = arena};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const Map *used = names[i].kind ? in_use->kinds : in_use->resources;
        Str want = value_string_at(wanted, names[i].name);
        Str have = value_string_at(accepted, names[i].name);
        bool fine = i == 2 ? decide_short_names(&verdict, value_get(wanted, STR("shortNames")),
                                                value_get(accepted, STR("shortNames")), used)
                           : decide(&verdict, want, have, used, names[i].reason);
        if (fine)
            take(arena, accepted, wanted, names[i].name);
    }
    take(arena, accepted, wanted, "categories");
    if (verdict.reason)
        definition_set_condition(arena, definition, "NamesAccepted", "False", verdict.reason,
                                 verdict.message, now_ns);
    else
        definition_set_condition(arena, definition, "NamesAccepted", "True", "NoConflicts",
                                 STR("no conflicts found"), now_ns);
    return !verdict.reason;
}

// Events of both groups: pkg/apis/core/validation/events.go upstream. Errors name the fields as the
// core group does, whichever group the event came by.

#include "kinds/rules.h"
#include "kinds/tree.h"

#define MAX_NAME 128 // reporting instance, action, reason
#define MAX_NOTE 1024

// Where the two groups differ.
typedef struct Form {
    const char *object, *object_namespace, *message, *controller;
} Form;
static const Form core = {"involvedObject", "involvedObject.namespace", "message",
                          "reportingComponent"};
static const Form events = {"regarding", "regarding.namespace", "note", "reportingController"};

static Str string_at(const Value *event, const char *path) {
    Str text = value_string_at(event, path);
    return text.ptr ? text : STR("");
}

static void check_namespace(FieldErrors *errors, const Value *event, const Form *form) {
    Str own = string_at(event, "metadata.namespace");
    Str about = string_at(event, form->object_namespace);
    bool is_default = str_eq(own, STR("default")), fits;
    if (value_get(event, STR("eventTime")))
        fits = about.len || is_default || str_eq(own, STR("kube-system"));
    else if (!about.len)
        fits = !own.len || is_default;
    else
        fits = str_eq(own, about);
    if (!fits)
        field_invalid(errors, PATH(PATH(NULL, STR("involvedObject")), STR("namespace")), about,
                      "does not match event.namespace");
}

static void check_text(FieldErrors *errors, Str text, Str name, size_t max, bool required) {
    if (required && !text.len)
        field_required(errors, PATH(NULL, name), "");
    if (text.len > max)
        field_invalid(errors, PATH(NULL, name), STR(""),
                      arena_printf(errors->arena, "can have at most %zu characters", max).ptr);
}

// An event with an eventTime is of the new form and must be whole.
static void check_new_form(FieldErrors *errors, const Value *event, const Form *form) {
    const Path *path = PATH(NULL, STR("reportingController"));
    Str controller = string_at(event, form->controller);
    if (!controller.len)
        field_required(errors, path, "");
    schema_check_format(errors, path, FORMAT_LABEL_KEY, controller);
    check_text(errors, string_at(event, "reportingInstance"), STR("reportingInstance"), MAX_NAME,
               true);
    check_text(errors, string_at(event, "action"), STR("action"), MAX_NAME, true);
    check_text(errors, string_at(event, "reason"), STR("reason"), MAX_NAME, true);
    check_text(errors, string_at(event, form->message), STR("message"), MAX_NOTE, false);
}

static void check_common(FieldErrors *errors, const Value *event, const Form *form) {
    check_namespace(errors, event, form);
    if (value_get(event, STR("eventTime")))
        check_new_form(errors, event, form);
}

static void validate_core(FieldErrors *errors, const Value *event) {
    check_common(errors, event, &core);
}
const ResourceRules event_rules = {.validate = validate_core};

// ---- events.k8s.io

static void check_series(FieldErrors *errors, const Value *event) {
    const Value *series = value_get(event, STR("series"));
    if (!series)
        return;
    if (value_int_at(series, "count", 0) < 2)
        field_invalid(errors, PATH(NULL, STR("series.count")), STR(""), "should be at least 2");
    if (!value_get(series, STR("lastObservedTime")))
        field_required(errors, PATH(NULL, STR("series.lastObservedTime")), "");
}

static void check_unset(FieldErrors *errors, bool set, Str name) {
    if (set)
        field_invalid(errors, PATH(NULL, name), STR(""), "needs to be unset");
}

// Only creation demands the new form: events of the old one may still be updated.
static void check_create(FieldErrors *errors, const Value *event) {
    Str type = string_at(event, "type");
    check_series(errors, event);
    if (!value_get(event, STR("eventTime")))
        field_required(errors, PATH(NULL, STR("eventTime")), "");
    if (!str_eq(type, STR("Normal")) && !str_eq(type, STR("Warning")))
        field_invalid(errors, PATH(NULL, STR("type")), STR(""),
                      arena_printf(errors->arena, "has invalid value: %.*s", STR_ARG(type)).ptr);
    check_unset(errors, value_get(event, STR("deprecatedFirstTimestamp")), STR("firstTimestamp"));
    check_unset(errors, value_get(event, STR("deprecatedLastTimestamp")), STR("lastTimestamp"));
    check_unset(errors, value_int_at(event, "deprecatedCount", 0) != 0, STR("count"));
    check_unset(errors,
                tree_has_string(event, "deprecatedSource.component") ||
                    tree_has_string(event, "deprecatedSource.host"),
                STR("source"));
}

static void validate_events_update(FieldErrors *errors, const Value *event, const Value *old) {
    // As upstream orders them, with the core group's names.
    static const struct {
        Str field, shown;
    } fixed[] = {
        {{"regarding", 9}, {"involvedObject", 14}},
        {{"reason", 6}, {"reason", 6}},
        {{"note", 4}, {"message", 7}},
        {{"deprecatedSource", 16}, {"source", 6}},
        {{"deprecatedFirstTimestamp", 24}, {"firstTimestamp", 14}},
        {{"deprecatedLastTimestamp", 23}, {"lastTimestamp", 13}},
        {{"deprecatedCount", 15}, {"count", 5}},
        {{"type", 4}, {"type", 4}},
        {{"eventTime", 9}, {"eventTime", 9}},
        {{"action", 6}, {"action", 6}},
        {{"related", 7}, {"related", 7}},
        {{"reportingController", 19}, {"reportingController", 19}},
        {{"reportingInstance", 17}, {"reportingInstance", 17}},
    };
    if (!value_equal(value_get(event, STR("series")), value_get(old, STR("series"))))
        check_series(errors, event);
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        const Value *now = value_get(event, fixed[i].field);
        if (!value_equal(now, value_get(old, fixed[i].field)))
            field_invalid_value(errors, PATH(NULL, fixed[i].shown), now, "field is immutable");
    }
}

// A create is told by what only stored objects have.
static void validate_events(FieldErrors *errors, const Value *event) {
    check_common(errors, event, &events);
    if (!tree_has_string(event, "metadata.resourceVersion"))
        check_create(errors, event);
}

const ResourceRules events_event_rules = {
    .validate = validate_events,
    .validate_update = validate_events_update,
};

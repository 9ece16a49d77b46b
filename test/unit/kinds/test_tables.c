// The generated tables hold together: whatever one entry names exists, and C finds it where the
// table says.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "kinds/kinds.h"

static const Field *find_field(const Type *type, Str name) {
    for (size_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        if (field->flags & FIELD_INLINE) {
            const Field *inner = find_field(field->type, name);
            if (inner)
                return inner;
        } else if (str_eq(field->name, name)) {
            return field;
        }
    }
    return NULL;
}

static void fail_field(const Type *type, const Field *field, const char *what) {
    fail_msg("%.*s.%.*s: %s", STR_ARG(type->openapi_name), STR_ARG(field->name), what);
}

static void check_field(const Type *type, const Field *field) {
    if (!(field->flags & FIELD_INLINE) && (!*field->doc || strcmp(field->doc, "TODO") == 0))
        fail_field(type, field, "has no text");
    if (field->kind != FIELD_RAW && (field->kind == FIELD_OBJECT) != (field->type != NULL))
        fail_field(type, field, "is an object without a type, or the reverse");
    if ((field->flags & FIELD_INLINE ? true : false) != str_is_empty(field->name))
        fail_field(type, field, "only inline fields have no name");
    if (field->offset >= type->struct_size)
        fail_field(type, field, "lies outside the struct");
    if ((field->list_type == LIST_MAP) != (field->n_keys > 0))
        fail_field(type, field, "is a list map without keys, or the reverse");
    for (size_t i = 0; i < field->n_keys; i++)
        if (!find_field(field->type, field->keys[i]))
            fail_field(type, field, "has a key that its items lack");
    if (field->patch_key.len && !find_field(field->type, field->patch_key))
        fail_field(type, field, "has a patch merge key that its items lack");
    if (field->minimum > field->maximum)
        fail_field(type, field, "has an empty range");
}

static void test_types_hold_together(void **state) {
    size_t n = 0;
    for (const Type *type; (type = kinds_type_at(n)); n++) {
        if (!type->doc || !*type->doc || strcmp(type->doc, "TODO") == 0)
            fail_msg("%.*s has no text", STR_ARG(type->openapi_name));
        assert_true(type->struct_size > 0);
        assert_ptr_equal(kinds_type(type->openapi_name), type);
        for (size_t i = 0; i < type->n_fields; i++) {
            const Field *field = &type->fields[i];
            check_field(type, field);
            for (size_t j = 0; j < i; j++) {
                if (field->number && type->fields[j].number == field->number)
                    fail_field(type, field, "has a number that is taken");
                if (field->name.len && str_eq(type->fields[j].name, field->name))
                    fail_field(type, field, "is there twice");
            }
        }
    }
    assert_true(n > 250);
    assert_null(kinds_type(STR("io.k8s.api.core.v1.Nothing")));
}

static const Field *check_path(const Resource *resource, const char *path) {
    const Type *type = resource->type;
    const Field *field = NULL;
    Str rest = str_from(path);
    while (rest.len) {
        const char *dot = memchr(rest.ptr, '.', rest.len);
        size_t len = dot ? (size_t)(dot - rest.ptr) : rest.len;
        field = type ? find_field(type, str_slice(rest, 0, len)) : NULL;
        if (!field)
            fail_msg("%.*s: no field at %s", STR_ARG(resource->plural), path);
        type = field->type;
        rest = str_slice(rest, dot ? len + 1 : len, rest.len);
    }
    return field;
}

static bool has_status_subresource(const Resource *resource) {
    for (size_t i = 0; i < resource->n_subresources; i++)
        if (str_eq(resource->subresources[i].name, STR("status")))
            return true;
    return false;
}

static void check_resource(const Resource *resource) {
    assert_true(str_eq(resource->type->name, resource->kind));
    assert_non_null(find_field(resource->type, STR("apiVersion")));
    assert_non_null(find_field(resource->type, STR("metadata")));
    assert_int_equal(resource->status_split, has_status_subresource(resource));
    if (resource->status_split)
        assert_non_null(find_field(resource->type, STR("status")));
    if (resource->verbs & VERB_LIST) {
        char name[256];
        snprintf(name, sizeof(name), "%.*sList", STR_ARG(resource->type->openapi_name));
        const Type *list = kinds_type(str_from(name));
        assert_non_null(list);
        assert_ptr_equal(find_field(list, STR("items"))->type, resource->type);
        assert_true(str_eq(list->name, resource->list_kind));
    }
    for (size_t i = 0; i < resource->n_columns; i++) {
        const Column *column = &resource->columns[i];
        assert_true(column->path || column->function);
        if (column->path)
            check_path(resource, column->path);
    }
    for (size_t i = 0; i < resource->n_selectable; i++) {
        const Field *field = check_path(resource, resource_field_path(resource, i).ptr);
        assert_true(field->kind != FIELD_OBJECT || field->shape == SHAPE_LIST);
    }
    for (size_t i = 0; i < resource->n_subresources; i++)
        assert_true(resource->subresources[i].verbs != 0);
}

static void test_resources_hold_together(void **state) {
    size_t n = 0;
    for (const Resource *resource; (resource = kinds_resource_at(n)); n++) {
        check_resource(resource);
        assert_ptr_equal(kinds_resource(resource->group, resource->version, resource->plural),
                         resource);
        assert_ptr_equal(kinds_resource_of_kind(resource->group, resource->version, resource->kind),
                         resource);
        for (size_t i = 0; i < n; i++) {
            const Resource *other = kinds_resource_at(i);
            for (size_t j = 0; j < resource->n_short; j++)
                for (size_t k = 0; k < other->n_short; k++)
                    assert_true(!str_eq(resource->short_names[j], other->short_names[k]) ||
                                str_eq(resource->kind, other->kind));
        }
    }
    assert_true(n > 20);
    assert_null(kinds_resource(STR(""), STR("v1"), STR("nothings")));
    assert_null(kinds_resource(STR("apps"), STR("v1"), STR("pods")));
    assert_null(kinds_resource_of_kind(STR(""), STR("v2"), STR("Pod")));
}

static void test_accessors_name_their_tables(void **state) {
    assert_true(str_eq(kinds_type_Pod()->openapi_name, STR("io.k8s.api.core.v1.Pod")));
    assert_int_equal(kinds_type_Pod()->struct_size, sizeof(Pod));
    assert_ptr_equal(kinds_resource_core_v1_pods()->type, kinds_type_Pod());
    assert_ptr_equal(kinds_resource_events_v1_events()->type, kinds_type_EventsEvent());
    assert_true(str_eq(kinds_resource_events_v1_events()->storage_group, STR("")));
    assert_true(str_eq(kinds_resource_events_v1_events()->storage_version, STR("v1")));
}

// An inline type's offsets hold within its place in the parent.
static void test_offsets_of_inline_fields(void **state) {
    const Type *volume = kinds_type_Volume();
    assert_true(volume->fields[1].flags & FIELD_INLINE);
    const Field *config_map = find_field(volume, STR("configMap"));
    assert_int_equal(volume->fields[1].offset + config_map->offset, offsetof(Volume, config_map));
    const Type *container = kinds_type_EphemeralContainer();
    const Field *tty = find_field(container, STR("tty"));
    assert_int_equal(container->fields[0].offset + tty->offset, offsetof(EphemeralContainer, tty));
}

static void test_facts_that_others_lean_on(void **state) {
    const Field *ports = find_field(kinds_type_Container(), STR("ports"));
    assert_int_equal(ports->list_type, LIST_MAP);
    assert_int_equal(ports->n_keys, 2);
    assert_true(str_eq(ports->keys[0], STR("containerPort")));
    assert_true(str_eq(ports->keys[1], STR("protocol")));
    assert_true(str_eq(ports->patch_key, STR("containerPort")));
    const Field *policy = find_field(kinds_type_PodSpec(), STR("restartPolicy"));
    assert_true(str_eq(policy->default_json, STR("\"Always\"")));
    assert_int_equal(policy->n_enum, 3);
    assert_int_equal(policy->number, 3);
    const Field *containers = find_field(kinds_type_PodSpec(), STR("containers"));
    assert_true(containers->flags & FIELD_REQUIRED);
    assert_true(containers->flags & FIELD_PATCH_MERGE);
    const Field *grace = find_field(kinds_type_PodSpec(), STR("terminationGracePeriodSeconds"));
    assert_true(grace->flags & FIELD_POINTER);
    // Go writes an embedded struct always, though OpenAPI does not require it.
    const Field *status = find_field(kinds_type_Pod(), STR("status"));
    assert_true(status->flags & FIELD_ALWAYS);
    assert_false(status->flags & FIELD_SCHEMA_REQUIRED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_hold_together),
        cmocka_unit_test(test_resources_hold_together),
        cmocka_unit_test(test_accessors_name_their_tables),
        cmocka_unit_test(test_offsets_of_inline_fields),
        cmocka_unit_test(test_facts_that_others_lean_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

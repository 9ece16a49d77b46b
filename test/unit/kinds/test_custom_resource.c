// CustomResourceDefinitions: defaults and every refusal. Words: apiextensions-apiserver's
// pkg/apis/apiextensions/validation/validation.go and pkg/apiserver/schema/validation.go, complete.go.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "road.h"

// A definition with one version; the parts are put in where they stand.
static const char *definition(Arena *arena, const char *spec, const char *version, const char *schema) {
    return arena_printf(arena,
                        "{'metadata':{'name':'tabs.example.com'},'spec':{'group':'example.com','scope':'Namespaced',"
                        "'names':{'plural':'tabs','kind':'Tab'}%s,'versions':[{'name':'v1','served':true,'storage':true%s,"
                        "'schema':{'openAPIV3Schema':%s}}]}}",
                        spec, version, schema)
        .ptr;
}

#define ANY "{'type':'object','x-kubernetes-preserve-unknown-fields':true}"

static const char *problems(Arena *arena, const char *json) {
    return road_create(arena, kinds_resource_apiextensions_v1_customresourcedefinitions(), json, NULL);
}

static void test_defaults(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *object;
    assert_string_equal(road_create(arena, kinds_resource_apiextensions_v1_customresourcedefinitions(),
                                    definition(arena, "", "", ANY), &object),
                        "");
    road_assert_json(arena, value_at(object, "spec.names"),
                     "{'plural':'tabs','singular':'tab','kind':'Tab','listKind':'TabList'}");
    road_assert_json(arena, value_at(object, "spec.conversion"), "{'strategy':'None'}");
    road_assert_json(arena, value_at(object, "status.storedVersions"), "['v1']");
}

#define AT "spec.versions[0].schema.openAPIV3Schema"
static const struct {
    const char *schema, *problems;
} schemas[] = {
    {"{}", AT ".type: Required value: must not be empty at the root\n"},
    {"{'type':'string'}", AT ".type: Invalid value: \"string\": must be object at the root\n"},
    {"{'type':'object','additionalProperties':true}", AT ".additionalProperties: Forbidden: must not be used at the root\n"},
    {"{'type':'object','nullable':true}", AT ".nullable: Forbidden: nullable cannot be true at the root\n"},
    {"{'type':'object','properties':{'a':{}}}",
     AT ".properties[a].type: Required value: must not be empty for specified object fields\n"},
    {"{'type':'object','properties':{'a':{'type':'array'}}}", AT ".properties[a].items: Required value: must be specified\n"},
    {"{'type':'object','properties':{'a':{'type':'array','items':{}}}}",
     AT ".properties[a].items.type: Required value: must not be empty for specified array items\n"},
    {"{'type':'object','properties':{'a':{'type':'nope'}}}",
     AT ".properties[a].type: Unsupported value: \"nope\": supported values: \"array\", \"boolean\", \"integer\", \"number\", "
        "\"object\", \"string\"\n"},
    {"{'type':'object','properties':{'metadata':{'type':'object','properties':{'name':{'type':'string'}}}}}", ""},
    {"{'type':'object','properties':{'metadata':{'type':'object','properties':{'labels':{'type':'object'}}}}}",
     AT ".properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is "
        "implicitly specified\n"},
    {"{'type':'object','properties':{'kind':{'type':'integer'}}}",
     AT ".properties[kind].type: Invalid value: \"integer\": must be string\n"},
    {"{'type':'object','properties':{'a':{'type':'integer','anyOf':[{'type':'integer'}]}}}",
     AT ".properties[a].anyOf[0].type: Forbidden: must be empty to be structural\n"},
    {"{'type':'object','properties':{'a':{'x-kubernetes-int-or-string':true,'anyOf':[{'type':'integer'},{'type':'string'}]}}}", ""},
    {"{'type':'object','properties':{'a':{'x-kubernetes-int-or-string':true,'allOf':[{'anyOf':[{'type':'integer'},{'type':'string'}]},"
     "{'maximum':5}]}}}",
     ""},
    {"{'type':'object','properties':{'a':{'type':'string','not':{'default':'x','title':'t','description':'d','nullable':true}}}}",
     AT ".properties[a].not.default: Forbidden: must be undefined to be structural\n" AT
        ".properties[a].not.title: Forbidden: must be empty to be structural\n" AT
        ".properties[a].not.description: Forbidden: must be empty to be structural\n" AT
        ".properties[a].not.nullable: Forbidden: must be false to be structural\n"},
    {"{'type':'object','oneOf':[{'required':['b'],'properties':{'b':{}}}]}",
     AT ".properties[b]: Required value: because it is defined in " AT ".oneOf[0].properties[b]\n"},
    {"{'type':'object','properties':{'a':{'type':'string','x-kubernetes-embedded-resource':true}}}",
     AT ".properties[a].type: Invalid value: \"string\": must be object if x-kubernetes-embedded-resource is true\n" AT
        ".properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without "
        "x-kubernetes-preserve-unknown-fields\n"},
    {"{'type':'object','properties':{'a':{'type':'string','pattern':'(a'}}}",
     AT ".properties[a].pattern: Invalid value: \"(a\": must be a valid regular expression, but isn't: error parsing regexp: "
        "missing closing ): `(a`\n"},
    {"{'type':'object','properties':{'a':{'type':'integer','default':'x'}}}",
     AT ".properties[a].default: Invalid value: \"string\": " AT
        ".properties[a].default in body must be of type integer: \"string\"\n"},
    {"{'type':'object','properties':{'a':{'type':'object','default':{'b':1}}}}",
     AT ".properties[a].default: Invalid value: {\"b\":1}: must not have unknown fields\n"},
    {"{'type':'object','properties':{'metadata':{'type':'object','default':{}}}}",
     AT ".properties[metadata].default: Forbidden: must not be set in top-level metadata\n"},
    {"{'type':'object','properties':{'a':{'type':'array','items':{'type':'string'},'uniqueItems':true}}}",
     AT ".properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes "
        "quadratic\n"},
    {"{'type':'object','properties':{'a':{'type':'object','properties':{'b':{'type':'string'}},'additionalProperties':{'type':'string'}}}}",
     AT ".properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive\n"},
    {"{'type':'object','properties':{'a':{'type':'string','$ref':'#/x'}}}", AT ".properties[a].$ref: Forbidden: $ref is not supported\n"},
    {"{'type':'object','x-kubernetes-preserve-unknown-fields':false}",
     AT ".x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined\n"},
    {"{'type':'object','x-kubernetes-map-type':'odd'}",
     AT ".x-kubernetes-map-type: Unsupported value: \"odd\": supported values: \"atomic\", \"granular\"\n"},
    {"{'type':'object','properties':{'a':{'type':'string','x-kubernetes-list-type':'set'}}}",
     AT ".properties[a].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified\n"},
    {"{'type':'object','properties':{'a':{'type':'array','items':{'type':'object'},'x-kubernetes-list-type':'map'}}}",
     AT ".properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map\n"},
    {"{'type':'object','properties':{'a':{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],"
     "'items':{'type':'object','properties':{'k':{'type':'string','nullable':true}}}}}}",
     AT ".properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must "
        "have a default or be a required property\n" AT
        ".properties[a].items.properties[k].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be "
        "nullable\n"},
    {"{'type':'object','properties':{'a':{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['z'],"
     "'items':{'type':'object'}}}}",
     AT ".properties[a].x-kubernetes-list-map-keys: Invalid value: [\"z\"]: entries must all be names of item properties\n"},
    {"{'type':'object','properties':{'a':{'type':'array','x-kubernetes-list-map-keys':['z'],'items':{'type':'object'}}}}",
     AT ".properties[a].x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty\n"},
    {"{'type':'object','properties':{'a':{'type':'array','x-kubernetes-list-type':'set','items':{'type':'object'}}}}",
     AT ".properties[a].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with "
        "x-kubernetes-list-type=set\n"},
    {"{'type':'object','x-kubernetes-validations':[{'rule':' '}]}",
     AT ".x-kubernetes-validations[0].rule: Required value: rule is not specified\n"},
};

static void test_schemas(void **state) {
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *found = problems(arena, definition(arena, "", "", schemas[i].schema));
        if (strcmp(found, schemas[i].problems))
            fail_msg("%s:\n%s is not\n%s", schemas[i].schema, found, schemas[i].problems);
    }
}

static const struct {
    const char *spec, *version, *problems;
} others[] = {
    {"", ",'deprecationWarning':'x'",
     "spec.versions[0].deprecationWarning: Invalid value: \"x\": can only be set for deprecated versions\n"},
    {"", ",'deprecated':true,'deprecationWarning':''",
     "spec.versions[0].deprecationWarning: Invalid value: \"\": must not be an empty string\n"},
    {"", ",'subresources':{'scale':{'specReplicasPath':'.replicas','statusReplicasPath':'status'}}",
     "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".replicas\": should be a json path under .spec\n"
     "spec.versions[0].subresources.scale.statusReplicasPath: Invalid value: \"status\": must be a simple json path starting with "
     ".\n"},
    {"", ",'subresources':{'scale':{'specReplicasPath':'.spec.a','statusReplicasPath':'.status.a','labelSelectorPath':'.metadata.a'}}",
     "spec.versions[0].subresources.scale.labelSelectorPath: Invalid value: \".metadata.a\": should be a json path under either "
     ".spec or .status\n"},
    {"", ",'additionalPrinterColumns':[{'name':'','type':'odd','jsonPath':'x','format':'y'}]",
     "spec.versions[0].additionalPrinterColumns[0].name: Required value\n"
     "spec.versions[0].additionalPrinterColumns[0].type: Invalid value: \"odd\": must be one of boolean,date,integer,number,string\n"
     "spec.versions[0].additionalPrinterColumns[0].format: Invalid value: \"y\": must be one of "
     "byte,date,date-time,double,float,int32,int64,password\n"
     "spec.versions[0].additionalPrinterColumns[0].JSONPath: Invalid value: \"x\": must be a simple json path starting with .\n"},
    {"", ",'selectableFields':[{'jsonPath':'.spec.x'}]",
     "spec.versions[0].selectableFields[0].jsonPath: Invalid value: \".spec.x\": is an invalid path: does not refer to a valid "
     "field\n"},
    {",'preserveUnknownFields':true", "",
     "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
     "spec.versions[*].schema instead\n"},
    {",'conversion':{'strategy':'Odd'}", "",
     "spec.conversion.strategy: Unsupported value: \"Odd\": supported values: \"None\", \"Webhook\"\n"},
    {",'conversion':{'strategy':'None','webhook':{'conversionReviewVersions':['v1'],'clientConfig':{}}}", "",
     "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook\n"
     "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook\n"},
    // Ours: what upstream has and this server has not.
    {",'conversion':{'strategy':'Webhook','webhook':{'conversionReviewVersions':['v1'],'clientConfig':{'url':'https://x'}}}", "",
     "spec.conversion.strategy: Forbidden: conversion webhooks are not supported by this server: use None\n"},
};

static void test_other_parts(void **state) {
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *found = problems(arena, definition(arena, others[i].spec, others[i].version, ANY));
        if (strcmp(found, others[i].problems))
            fail_msg("%s %s:\n%s is not\n%s", others[i].spec, others[i].version, found, others[i].problems);
    }
}

static void test_selectable_fields(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const char *schema = "{'type':'object','properties':{'spec':{'type':'object','properties':{'s':{'type':'string'},"
                         "'o':{'type':'object'}}},'metadata':{'type':'object','properties':{'name':{'type':'string'}}}}}";
    assert_string_equal(problems(arena, definition(arena, "", ",'selectableFields':[{'jsonPath':'.spec.s'}]", schema)), "");
    assert_string_equal(
        problems(arena, definition(arena, "",
                                   ",'selectableFields':[{'jsonPath':'.spec.s'},{'jsonPath':'.spec.s'},{'jsonPath':'.spec.o'},"
                                   "{'jsonPath':'.metadata.name'},{'jsonPath':''},{'jsonPath':'.spec[0]'}]",
                                   schema)),
        "spec.versions[0].selectableFields[1].jsonPath: Duplicate value: \".spec.s\"\n"
        "spec.versions[0].selectableFields[2].jsonPath: Invalid value: \".spec.o\": must point to a field of type string, boolean "
        "or integer. Enum string fields and strings with formats are allowed.\n"
        "spec.versions[0].selectableFields[3].jsonPath: Invalid value: \".metadata.name\": must not point to fields in metadata\n"
        "spec.versions[0].selectableFields[4].jsonPath: Required value\n"
        "spec.versions[0].selectableFields[5].jsonPath: Invalid value: \".spec[0]\": is an invalid path: array notation is not "
        "allowed\n");
}

static void test_names_and_versions(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(problems(arena, "{'metadata':{'name':'x'},'spec':{'group':'nodots','scope':'Odd','names':{'plural':'Tabs',"
                                        "'kind':'Tab','listKind':'Tab','shortNames':['T']},'versions':[]}}"),
                        "spec.group: Invalid value: \"nodots\": should be a domain with at least one dot\n"
                        "spec.scope: Unsupported value: \"Odd\": supported values: \"Cluster\", \"Namespaced\"\n"
                        "spec.versions: Invalid value: []: must have exactly one version marked as storage version\n"
                        "spec.names.plural: Invalid value: \"Tabs\": a DNS-1035 label must consist of lower case alphanumeric "
                        "characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. "
                        "'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')\n"
                        "spec.names.shortNames[0]: Invalid value: \"T\": a DNS-1035 label must consist of lower case alphanumeric "
                        "characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. "
                        "'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')\n"
                        "spec.names.listKind: Invalid value: \"Tab\": kind and listKind may not be the same\n"
                        "status.storedVersions: Invalid value: null: must have at least one stored version\n"
                        "metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group\n");
    assert_string_equal(problems(arena, "{'metadata':{'name':'tabs.example.com'},'spec':{'group':'example.com','scope':'Cluster',"
                                        "'names':{'plural':'tabs','kind':'Tab'},'versions':[{'name':'v1','served':true,"
                                        "'storage':true}]}}"),
                        "spec.versions[0].schema.openAPIV3Schema: Required value\n");
}

// Groups of Kubernetes itself: validateAPIApproval.
static void test_approval(void **state) {
    _arena_free_ Arena *arena = arena_new();
    static const char form[] = "{'metadata':{'name':'tabs.x.k8s.io'%s},'spec':{'group':'x.k8s.io','scope':'Cluster','names':{'plural':"
                               "'tabs','kind':'Tab'},'versions':[{'name':'v1','served':true,'storage':true,'schema':"
                               "{'openAPIV3Schema':" ANY "}}]}}";
    assert_string_equal(problems(arena, arena_printf(arena, form, "").ptr),
                        "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval "
                        "annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111\n");
    assert_string_equal(
        problems(arena, arena_printf(arena, form, ",'annotations':{'api-approved.kubernetes.io':'yes'}").ptr),
        "metadata.annotations[api-approved.kubernetes.io]: Invalid value: \"yes\": protected groups must have approval annotation "
        "\"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see "
        "https://github.com/kubernetes/enhancements/pull/1111\n");
    assert_string_equal(
        problems(arena, arena_printf(arena, form, ",'annotations':{'api-approved.kubernetes.io':'https://example.com/1'}").ptr), "");
    assert_string_equal(
        problems(arena, arena_printf(arena, form, ",'annotations':{'api-approved.kubernetes.io':'unapproved, a test'}").ptr), "");
}

static void test_updates(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *resource = kinds_resource_apiextensions_v1_customresourcedefinitions();
    Value *old, *object;
    assert_string_equal(road_create(arena, resource, definition(arena, "", "", ANY), &old), "");
    value_set(arena, value_get(old, STR("status")), STR("conditions"),
              road_parse(arena, "[{'type':'Established','status':'True'}]"));
    object = road_parse(arena, "{'metadata':{'name':'tabs.example.com','resourceVersion':'1'},'spec':{'group':'other.com',"
                               "'scope':'Cluster','names':{'plural':'tubs','kind':'Tub'},'versions':[{'name':'v2','served':true,"
                               "'storage':true,'schema':{'openAPIV3Schema':" ANY "}}]}}");
    Str message;
    assert_int_equal(schema_normalize(arena, resource->type, object, NULL, &message), 0);
    schema_default(arena, resource, object);
    value_set(arena, object, STR("status"), value_get(old, STR("status"))); // as the API server does
    resource->rules->prepare(arena, object, old);
    FieldErrors errors = {.arena = arena};
    schema_validate(&errors, resource, object, old);
    assert_string_equal(
        road_problems(&errors),
        "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version, and must "
        "remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from "
        "status.storedVersions\n"
        "spec.scope: Invalid value: \"Cluster\": field is immutable\n"
        "spec.names.kind: Invalid value: \"Tub\": field is immutable\n"
        "spec.group: Invalid value: \"other.com\": field is immutable\n"
        "spec.names.plural: Invalid value: \"tubs\": field is immutable\n");
    road_assert_json(arena, value_at(object, "status.storedVersions"), "['v1','v2']");
    road_assert_json(arena, value_at(old, "status.storedVersions"), "['v1']"); // untouched
}

static void test_warnings(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *resource = kinds_resource_apiextensions_v1_customresourcedefinitions();
    Value *object;
    road_create(arena, resource,
                definition(arena, "", "",
                           "{'type':'object','properties':{'a':{'type':'string','format':'odd'},'b':{'type':'array',"
                           "'x-kubernetes-list-type':'set','items':{'type':'object','x-kubernetes-map-type':'atomic'}}},"
                           "'x-kubernetes-validations':[{'rule':'true'}]}"),
                &object);
    ValuePaths warnings = {0};
    resource->rules->warn(arena, object, &warnings);
    Str text = arena_concat(arena, warnings.paths, warnings.n, STR("\n"));
    assert_string_equal(arena_cstr(arena, text),
                        "unrecognized format \"odd\"\n"
                        "x-kubernetes-list-type: set for items of type \"object\" is not supported by server-side apply or CEL "
                        "validation rules\n"
                        "spec.versions[0].schema: x-kubernetes-validations rules are kept, but this server does not enforce them");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),           cmocka_unit_test(test_schemas),  cmocka_unit_test(test_other_parts),
        cmocka_unit_test(test_selectable_fields),  cmocka_unit_test(test_approval), cmocka_unit_test(test_updates),
        cmocka_unit_test(test_names_and_versions), cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Structural schemas: tables, pruning, defaults, validation, patterns, formats. Expected words are
// kube-openapi's pkg/validation/errors/schema.go and validate/schema_messages.go, as
// apiextensions-apiserver's pkg/apiserver/validation/validation.go turns them into field errors.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "../kinds/road.h"
#include "schema/structural.h"

static CustomType custom_of(Arena *arena, const char *json) {
    CustomType custom = {.metadata = kinds_type_ObjectMeta(), .version = STR("v1")};
    assert_int_equal(structural_build(arena, road_parse(arena, json), &custom.schema), 0);
    return custom;
}

static const char *check(Arena *arena, const char *schema, const char *value, const char *old) {
    CustomType custom = custom_of(arena, schema);
    FieldErrors errors = {.arena = arena};
    const Value *object = road_parse(arena, value);
    const Value *before = old ? road_parse(arena, old) : NULL;
    const Path *path = PATH(NULL, STR("x"));
    structural_validate(&errors, custom.schema, object, before, path);
    structural_validate_embedded(&errors, custom.schema, object, path);
    structural_validate_lists(&errors, custom.schema, object, path);
    return road_problems(&errors);
}

static const struct {
    const char *schema, *value, *problems;
} cases[] = {
    {"{'type':'string'}", "'a'", ""},
    {"{'type':'string'}", "1",
     "x: Invalid value: \"integer\": x in body must be of type string: \"integer\"\n"},
    {"{'type':'string'}", "null",
     "x: Invalid value: \"null\": x in body must be of type string: \"null\"\n"},
    {"{'type':'string','nullable':true}", "null", ""},
    {"{'type':'integer'}", "1.0", ""},
    {"{'type':'integer'}", "1.5",
     "x: Invalid value: \"number\": x in body must be of type integer: \"number\"\n"},
    {"{'type':'number'}", "1", ""},
    {"{'type':'boolean'}", "'true'",
     "x: Invalid value: \"string\": x in body must be of type boolean: \"string\"\n"},
    {"{'type':'object'}", "[]",
     "x: Invalid value: \"array\": x in body must be of type object: \"array\"\n"},
    {"{'x-kubernetes-int-or-string':true}", "'5%'", ""},
    {"{'x-kubernetes-int-or-string':true}", "true",
     "x: Invalid value: \"boolean\": x in body must be of type integer,string: \"boolean\"\n"},
    {"{'type':'string','minLength':2,'maxLength':3}", "'a'",
     "x: Invalid value: \"a\": x in body should be at least 2 chars long\n"},
    {"{'type':'string','maxLength':3}", "'\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4'",
     "x: Too long: may not be more than 3 bytes\n"},
    {"{'type':'string','maxLength':4}", "'\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4'", ""},
    {"{'type':'string','pattern':'^a+$'}", "'ab'",
     "x: Invalid value: \"ab\": x in body should match '^a+$'\n"},
    {"{'type':'string','pattern':'b'}", "'abc'", ""},
    {"{'type':'string','enum':['a','b']}", "'c'",
     "x: Unsupported value: \"c\": supported values: \"a\", \"b\"\n"},
    {"{'type':'integer','enum':[1,2]}", "3",
     "x: Unsupported value: 3: supported values: \"1\", \"2\"\n"},
    {"{'type':'integer','minimum':1}", "0",
     "x: Invalid value: 0: x in body should be greater than or equal to 1\n"},
    {"{'type':'integer','minimum':1,'exclusiveMinimum':true}", "1",
     "x: Invalid value: 1: x in body should be greater than 1\n"},
    {"{'type':'number','maximum':0.5}", "0.75",
     "x: Invalid value: 0.75: x in body should be less than or equal to 0.5\n"},
    {"{'type':'number','maximum':1000000}", "1000000.5",
     "x: Invalid value: 1.0000005e+06: x in body should be less than or equal to 1e+06\n"},
    {"{'type':'number','maximum':2,'exclusiveMaximum':true}", "2",
     "x: Invalid value: 2: x in body should be less than 2\n"},
    {"{'type':'integer','multipleOf':3}", "4",
     "x: Invalid value: 4: x in body should be a multiple of 3\n"},
    {"{'type':'number','multipleOf':0.5}", "1.5", ""},
    {"{'type':'array','items':{'type':'string'},'minItems':1}", "[]",
     "x: Invalid value: 0: x in body should have at least 1 items\n"},
    {"{'type':'array','items':{'type':'string'},'maxItems':1}", "['a','b']",
     "x: Too many: 2: must have at most 1 item\n"},
    {"{'type':'array','items':{'type':'string'}}", "['a',1]",
     "x[1]: Invalid value: \"integer\": x[1] in body must be of type string: \"integer\"\n"},
    {"{'type':'array','items':{'type':'string'},'uniqueItems':true}", "['a','a']",
     "x: Invalid value: \"\": x in body shouldn't contain duplicates\n"},
    {"{'type':'object','additionalProperties':{'type':'integer'}}", "{'a':'b'}",
     "x.a: Invalid value: \"string\": x.a in body must be of type integer: \"string\"\n"},
    {"{'type':'object','additionalProperties':false}", "{'a':'b'}",
     "x: Invalid value: \"a\": x.a in body is a forbidden property\n"},
    {"{'type':'object','minProperties':1}", "{}",
     "x: Invalid value: 0: x in body should have at least 1 properties\n"},
    {"{'type':'object','maxProperties':1}", "{'a':1,'b':2}",
     "x: Too many: 2: must have at most 1 item\n"},
    {"{'type':'object','required':['a']}", "{}", "x.a: Required value\n"},
    {"{'type':'integer','anyOf':[{'maximum':3},{'minimum':7}]}", "5",
     "<nil>: Invalid value: \"\": \"x\" must validate at least one schema (anyOf)\n"
     "x: Invalid value: 5: x in body should be less than or equal to 3\n"},
    {"{'type':'integer','anyOf':[{'maximum':3},{'minimum':7}]}", "8", ""},
    {"{'type':'integer','oneOf':[{'maximum':5},{'minimum':3}]}", "4",
     "<nil>: Invalid value: \"\": \"x\" must validate one and only one schema (oneOf). Found 2 "
     "valid alternatives\n"},
    {"{'type':'object','oneOf':[{'required':['a']},{'required':['b']}]}", "{}",
     "<nil>: Invalid value: \"\": \"x\" must validate one and only one schema (oneOf). Found none "
     "valid\n"
     "x.a: Required value\n"},
    {"{'type':'integer','allOf':[{'maximum':3},{'minimum':7}]}", "8",
     "x: Invalid value: 8: x in body should be less than or equal to 3\n"
     "<nil>: Invalid value: \"\": \"x\" must validate all the schemas (allOf)\n"},
    {"{'type':'integer','allOf':[{'maximum':3}]}", "8",
     "x: Invalid value: 8: x in body should be less than or equal to 3\n"
     "<nil>: Invalid value: \"\": \"x\" must validate all the schemas (allOf). None validated\n"},
    {"{'type':'integer','not':{'enum':[4]}}", "4",
     "<nil>: Invalid value: \"\": \"x\" must not validate the schema (not)\n"},
    {"{'type':'string','format':'date'}", "'2024-02-30'",
     "x: Invalid value: \"2024-02-30\": x in body must be of type date: \"2024-02-30\"\n"},
    {"{'type':'string','format':'date-time'}", "5",
     "x: Invalid value: \"int64\": x in body must be of type datetime: \"int64\"\n"},
    {"{'type':'string','format':'nobody-knows'}", "'x'", ""},
    {"{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}}",
     "['a','b','a','a']", "x[2]: Duplicate value: \"a\"\n"},
    {"{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['n','p'],'items'"
     ":{'type':'object'}}",
     "[{'n':'a'},{'n':'a','p':1},{'n':'a'}]", "x[2]: Duplicate value: {\"n\":\"a\"}\n"},
    {"{'type':'object','x-kubernetes-embedded-resource':true,'x-kubernetes-preserve-unknown-fields'"
     ":true}",
     "{'kind':'A_B'}",
     "x.apiVersion: Required value\nx.kind: Invalid value: \"A_B\": may have mixed case, but "
     "should otherwise match: a DNS-1035 "
     "label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
     "character, and end with an "
     "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
     "'[a-z]([-a-z0-9]*[a-z0-9])?')\n"},
    {"{'type':'object','x-kubernetes-embedded-resource':true,'x-kubernetes-preserve-unknown-fields'"
     ":true}",
     "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a/b'}}",
     "x.metadata.name: Invalid value: \"a/b\": may not contain '/'\n"},
};

static void test_validation(void **state) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *problems = check(arena, cases[i].schema, cases[i].value, NULL);
        if (strcmp(problems, cases[i].problems))
            fail_msg("%s for %s:\n%s is not\n%s", cases[i].value, cases[i].schema, problems,
                     cases[i].problems);
    }
}

// KEP-4008: what an update leaves as it was is not refused.
static void test_ratcheting(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const char *schema = "{'type':'object','properties':{'a':{'type':'integer','maximum':3},'b':{'"
                         "type':'integer','maximum':3},"
                         "'l':{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-"
                         "map-keys':['n'],'items':"
                         "{'type':'object','properties':{'n':{'type':'string'},'v':{'type':'"
                         "integer','maximum':3}}}}}}";
    assert_string_equal(check(arena, schema, "{'a':5,'b':4}", "{'a':5,'b':1}"),
                        "x.b: Invalid value: 4: x.b in body should be less than or equal to 3\n");
    assert_string_equal(
        check(arena, schema, "{'l':[{'n':'p','v':1},{'n':'q','v':9}]}", "{'l':[{'n':'q','v':9}]}"),
        "");
    assert_string_equal(
        check(arena, schema, "{'l':[{'n':'q','v':8}]}", "{'l':[{'n':'q','v':9}]}"),
        "x.l[0].v: Invalid value: 8: x.l[0].v in body should be less than or equal to 3\n");
}

static const struct {
    const char *schema, *before, *after, *unknown; // schema is the root's
} pruned[] = {
    {"{'type':'object','properties':{'a':{'type':'string'}}}",
     "{'a':'x','b':1,'kind':'K','metadata':{'name':'n'}}",
     "{'a':'x','kind':'K','metadata':{'name':'n'}}", "b"},
    {"{'type':'object','x-kubernetes-preserve-unknown-fields':true,'properties':{'a':{'type':'"
     "object','properties':{'p':{'type':'string'}}}}}",
     "{'a':{'p':'x','q':1},'b':{'c':1}}", "{'a':{'p':'x'},'b':{'c':1}}", "a.q"},
    {"{'type':'object','properties':{'a':{'type':'object','additionalProperties':{'type':'object','"
     "properties':{'p':{}}}}}}",
     "{'a':{'k':{'p':1,'q':2}}}", "{'a':{'k':{'p':1}}}", "a.k.q"},
    {"{'type':'object','properties':{'a':{'type':'object','additionalProperties':true}}}",
     "{'a':{'k':{'p':1},'s':2}}", "{'a':{'k':{},'s':2}}", "a.k.p"},
    {"{'type':'object','properties':{'l':{'type':'array','items':{'type':'object','properties':{'p'"
     ":{}}}}}}",
     "{'l':[{'p':1,'q':2},{}]}", "{'l':[{'p':1},{}]}", "l[0].q"},
    {"{'type':'object','properties':{'l':{'type':'array','x-kubernetes-preserve-unknown-fields':"
     "true}}}",
     "{'l':[{'p':{'q':2}}]}", "{'l':[{'p':{'q':2}}]}", ""},
    {"{'type':'object','properties':{'e':{'type':'object','x-kubernetes-embedded-resource':true,'"
     "properties':{'spec':{'type':'object'}}}}}",
     "{'e':{'apiVersion':'v1','kind':'Pod','metadata':{'name':'n','bad':1},'spec':{'x':1},'y':2}}",
     "{'e':{'apiVersion':'v1','kind':'Pod','metadata':{'name':'n'},'spec':{}}}",
     "e.metadata.bad,e.spec.x,e.y"},
    // metadata, apiVersion and kind are nothing special deeper down
    {"{'type':'object','properties':{'a':{'type':'object'}}}", "{'a':{'metadata':{},'kind':'x'}}",
     "{'a':{}}", "a.metadata,a.kind"},
};

static void test_pruning(void **state) {
    for (size_t i = 0; i < sizeof pruned / sizeof *pruned; i++) {
        _arena_free_ Arena *arena = arena_new();
        CustomType custom = custom_of(arena, pruned[i].schema);
        Value *object = road_parse(arena, pruned[i].before);
        ValuePaths unknown = {0};
        Str message;
        assert_int_equal(structural_prune(arena, &custom, object, NULL, true, &unknown, &message),
                         0);
        road_assert_json(arena, object, pruned[i].before); // kept, only told of
        Str told = arena_concat(arena, unknown.paths, unknown.n, STR(","));
        assert_string_equal(arena_cstr(arena, told), pruned[i].unknown);
        assert_int_equal(structural_prune(arena, &custom, object, NULL, false, NULL, &message), 0);
        road_assert_json(arena, object, pruned[i].after);
        assert_false(structural_conform(arena, &custom, object));
    }
}

// pkg/apiserver/schema/defaulting upstream
static void test_defaults(void **state) {
    _arena_free_ Arena *arena = arena_new();
    CustomType custom = custom_of(
        arena,
        "{'type':'object','properties':{"
        "'a':{'type':'string','default':'A'},"
        "'n':{'type':'string','nullable':true,'default':'N'},"
        "'plain':{'type':'string'},"
        "'o':{'type':'object','default':{},'properties':{'p':{'type':'integer','default':7}}},"
        "'l':{'type':'array','items':{'type':'object','properties':{'q':{'type':'boolean','default'"
        ":true}}}},"
        "'m':{'type':'object','additionalProperties':{'type':'object','properties':{'r':{'type':'"
        "string','default':'R'}}}}}}");
    Value *object =
        road_parse(arena, "{'a':null,'n':null,'plain':null,'l':[{},{'q':false}],'m':{'k':{}}}");
    assert_true(structural_default(arena, custom.schema, object));
    road_assert_json(
        arena, object,
        "{'a':'A','n':null,'l':[{'q':true},{'q':false}],'m':{'k':{'r':'R'}},'o':{'p':7}}");
    assert_false(structural_default(arena, custom.schema, object));
    // A default is a copy each time.
    Value *other = road_parse(arena, "{}");
    structural_default(arena, custom.schema, other);
    value_set_int(arena, value_get(other, STR("o")), STR("p"), 8);
    Value *third = road_parse(arena, "{}");
    structural_default(arena, custom.schema, third);
    assert_int_equal(value_int_at(third, "o.p", 0), 7);
}

static void test_limits(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *deep = value_new_object(arena), *at = deep;
    for (int i = 0; i < SCHEMA_MAX_DEPTH; i++) {
        value_set_str(arena, at, STR("type"), STR("array"));
        Value *items = value_new_object(arena);
        value_set(arena, at, STR("items"), items);
        at = items;
    }
    const Schema *schema;
    assert_int_equal(structural_build(arena, deep, &schema), -E2BIG);
    Value *wide = value_new_object(arena), *all = value_new_array(arena),
          *one = value_new_object(arena);
    value_set(arena, wide, STR("allOf"), all);
    for (int i = 0; i < SCHEMA_MAX_NODES - 1; i++)
        value_push(arena, all, one);
    assert_int_equal(structural_build(arena, wide, &schema), 0);
    value_push(arena, all, one);
    assert_int_equal(structural_build(arena, wide, &schema), -E2BIG);
    assert_int_equal(structural_build(arena, value_new_string(arena, STR("no")), &schema), -EINVAL);
}

static const struct {
    const char *pattern, *refusal; // Go's regexp/syntax
} patterns[] = {
    {"^[a-z]+$", NULL},
    {"\\d{1,3}(\\.\\d+)?", NULL},
    {"[[:alpha:]\\]]+", NULL},
    {"(?i)abc(?:d|e)(?P<n>f)", NULL},
    {"(a", "error parsing regexp: missing closing ): `(a`"},
    {"a)", "error parsing regexp: unexpected ): `a)`"},
    {"[a", "error parsing regexp: missing closing ]: `[a`"},
    {"*a", "error parsing regexp: missing argument to repetition operator: `*`"},
    {"(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
    {"(?<!a)b", "error parsing regexp: invalid or unsupported Perl syntax: `(?<!`"},
    {"(a)\\1", "error parsing regexp: invalid escape sequence: `\\1`"},
    {"a++", "error parsing regexp: invalid nested repetition operator: `++`"},
    {"a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"},
    {"(*UTF)a", "error parsing regexp: invalid or unsupported Perl syntax: `(*`"},
};

static void test_patterns(void **state) {
    _arena_free_ Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        Str message = STR_NONE;
        Pattern *pattern = pattern_new(arena, str_from(patterns[i].pattern), &message);
        if ((pattern != NULL) != (patterns[i].refusal == NULL))
            fail_msg("%s: %.*s", patterns[i].pattern, STR_ARG(message));
        if (!pattern)
            assert_string_equal(arena_cstr(arena, message), patterns[i].refusal);
    }
    Str message;
    // $ is the end of the text, not of its last line, as in Go.
    Pattern *end = pattern_new(arena, STR("^a$"), &message);
    assert_true(pattern_matches(end, STR("a")));
    assert_false(pattern_matches(end, STR("a\n")));
    // A pattern that would take exponential time counts as no match, soon.
    Pattern *hostile = pattern_new(arena, STR("^(a+)+$"), &message);
    char text[4096];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    assert_false(pattern_matches(hostile, str_of(text, sizeof text)));
    // What honest patterns take on long texts is within the bound.
    memset(text, 'a', sizeof text);
    assert_true(
        pattern_matches(pattern_new(arena, STR("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"), &message),
                        str_of(text, sizeof text)));
}

static void test_formats(void **state) {
    static const struct {
        const char *format, *good, *bad;
    } formats[] = {
        {"bsonobjectid", "507f1f77bcf86cd799439011", "507f1f77"},
        {"uri", "https://example.com/a?b=c", "nothing at all"},
        {"email", "a.b@example.com", "a.b.example.com"},
        {"hostname", "a-b.example.com", "-a.example.com"},
        {"ipv4", "10.0.0.1", "10.0.0.256"},
        {"ipv6", "fe80::1", "10.0.0.1"},
        {"cidr", "10.0.0.0/8", "10.0.0.0/33"},
        {"mac", "01:23:45:67:89:ab", "01:23:45:67:89"},
        {"uuid", "a8098c1a-f86e-11da-bd1a-00112444be1e", "a8098c1a"},
        {"uuid3", "bcd02e22-68f0-3046-a512-327cca9def8f", "025b0d74-00a2-4048-bf57-227c5111bb34"},
        {"uuid4", "025b0d74-00a2-4048-bf57-227c5111bb34", "bcd02e22-68f0-3046-a512-327cca9def8f"},
        {"uuid5", "886313e1-3b8a-5372-9b90-0c9aee199e5d", "025b0d74-00a2-4048-bf57-227c5111bb34"},
        {"isbn", "978-0321751041", "978-0321751042"},
        {"isbn10", "0321751043", "0321751044"},
        {"isbn13", "978-0321751041", "0321751043"},
        {"creditcard", "4111-1111-1111-1111", "4111-1111-1111-1112"},
        {"ssn", "111-11-1111", "111-11-111"},
        {"hexcolor", "#FFFFFF", "#FFFF"},
        {"rgbcolor", "rgb(100,100,255)", "rgb(100,100,256)"},
        {"byte", "Zm9vYmFy", "Zm9v!"},
        {"date", "2006-01-02", "2006-13-02"},
        {"duration", "1h5m", "an hour"},
        {"datetime", "2014-12-15T19:30:20.000Z", "2014-12-15"},
        {"k8s-short-name", "a-b", "a.b"},
        {"k8s-long-name", "a.b", "a_b"},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        Str name = str_from(formats[i].format);
        assert_true(schema_format_is_known(STR("string"), name));
        if (!schema_format_matches(name, str_from(formats[i].good)))
            fail_msg("%s is no %s", formats[i].good, formats[i].format);
        if (schema_format_matches(name, str_from(formats[i].bad)))
            fail_msg("%s is a %s", formats[i].bad, formats[i].format);
    }
    assert_true(schema_format_is_known(STR("string"), STR("date-time")));
    assert_false(schema_format_is_known(STR("string"), STR("int32")));
    assert_true(schema_format_is_known(STR("integer"), STR("int32")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_validation), cmocka_unit_test(test_ratcheting),
        cmocka_unit_test(test_pruning),    cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

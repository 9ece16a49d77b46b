#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kinds/kinds.h"
#include "schema/check.h"
#include "schema_test.h"

static void normalizes_type(const Type *type, const char *json, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    Str message = STR_NONE;
    Value *value = parse(arena, json);
    if (schema_normalize(arena, type, value, NULL, &message))
        fail_msg("%s: %.*s", json, STR_ARG(message));
    assert_json(arena, value, expected);
}

static void refuses(const Type *type, const char *json, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    Str message = STR_NONE;
    Value *value = parse(arena, json);
    assert_int_equal(schema_normalize(arena, type, value, NULL, &message), SCHEMA_E_TYPE);
    assert_str(arena, message, expected);
}

static void test_normal_form(void **state) {
    // "" and 0 and empty lists go, pointers stay, embedded structs appear, order is the
    // declaration's
    normalizes_type(kinds_type_Container(),
                    "{\"image\":\"i\",\"name\":\"c\",\"workingDir\":\"\",\"args\":[],\"tty\":false,"
                    "\"ports\":[{\"protocol\":\"TCP\",\"containerPort\":80,\"hostPort\":0}]}",
                    "{\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":80,\"protocol\":"
                    "\"TCP\"}],\"resources\":{}}");
    normalizes_type(kinds_type_PodSpec(),
                    "{\"activeDeadlineSeconds\":0,\"hostNetwork\":false,\"containers\":null,"
                    "\"enableServiceLinks\":false,\"nodeSelector\":{\"a\":null}}",
                    "{\"containers\":[],\"activeDeadlineSeconds\":0,\"nodeSelector\":{\"a\":\"\"},"
                    "\"enableServiceLinks\":false}");
    normalizes_type(kinds_type_ResourceRequirements(),
                    "{\"limits\":{\"cpu\":0.5,\"memory\":\"1024Mi\",\"x.y/z\":2}}",
                    "{\"limits\":{\"cpu\":\"500m\",\"memory\":\"1Gi\",\"x.y/z\":\"2\"}}");
    normalizes_type(kinds_type_ObjectMeta(),
                    "{\"creationTimestamp\":\"2024-01-01T01:00:00.5+02:00\",\"name\":\"n\"}",
                    "{\"name\":\"n\",\"creationTimestamp\":\"2023-12-31T23:00:00Z\"}");
    normalizes_type(kinds_type_Secret(), "{\"data\":{\"a\":\"aGVs\\nbG8=\"},\"kind\":\"Secret\"}",
                    "{\"kind\":\"Secret\",\"metadata\":{},\"data\":{\"a\":\"aGVsbG8=\"}}");
    // an inline type's field stands in its parent
    normalizes_type(kinds_type_Volume(), "{\"emptyDir\":{},\"name\":\"v\"}",
                    "{\"name\":\"v\",\"emptyDir\":{}}");
}

static void test_unknown_fields(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Str message;
    ValuePaths unknown = {0};
    Value *value =
        parse(arena, "{\"kind\":\"Pod\",\"foo\":1,\"spec\":{\"containers\":[{\"name\":\"a\"},"
                     "{\"name\":\"b\",\"imag\":\"x\"}],\"Volumes\":[]}}");
    assert_int_equal(schema_normalize(arena, kinds_type_Pod(), value, &unknown, &message), 0);
    assert_int_equal(unknown.n, 3);
    assert_str(arena, unknown.paths[0], "foo");
    assert_str(arena, unknown.paths[1], "spec.containers[1].imag");
    assert_str(arena, unknown.paths[2], "spec.Volumes");
    assert_null(value_get(value, STR("foo")));
}

static void test_wrong_types_have_the_wording_of_go(void **state) {
    refuses(kinds_type_Pod(),
            "{\"spec\":{\"containers\":[{\"ports\":[{\"containerPort\":\"80\"}]}]}}",
            "json: cannot unmarshal string into Go struct field "
            "ContainerPort.spec.containers.ports.containerPort of type int32");
    refuses(kinds_type_Pod(), "{\"spec\":{\"containers\":{}}}",
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type "
            "[]v1.Container");
    refuses(kinds_type_Pod(), "{\"spec\":{\"containers\":[5]}}",
            "json: cannot unmarshal number into Go struct field PodSpec.spec.containers of type "
            "v1.Container");
    refuses(kinds_type_Pod(), "{\"spec\":\"x\"}",
            "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec");
    refuses(kinds_type_Pod(), "{\"metadata\":{\"labels\":{\"a\":1}}}",
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type "
            "string");
    refuses(kinds_type_Pod(), "{\"metadata\":{\"labels\":[]}}",
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type "
            "map[string]string");
    refuses(kinds_type_Pod(), "{\"spec\":{\"containers\":[{\"env\":[{\"value\":true}]}]}}",
            "json: cannot unmarshal bool into Go struct field EnvVar.spec.containers.env.value of "
            "type string");
    refuses(kinds_type_Pod(), "{\"spec\":{\"priority\":1.5}}",
            "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type "
            "int32");
    refuses(kinds_type_Pod(), "{\"spec\":{\"priority\":3000000000}}",
            "json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority "
            "of type int32");
    refuses(kinds_type_Pod(), "{\"spec\":{\"volumes\":[{\"emptyDir\":[]}]}}",
            "json: cannot unmarshal array into Go struct field Volume.spec.volumes.emptyDir of "
            "type v1.EmptyDirVolumeSource");
    refuses(kinds_type_Pod(), "[]", "json: cannot unmarshal array into Go value of type v1.Pod");
    refuses(kinds_type_ResourceRequirements(), "{\"limits\":{\"cpu\":\"1 core\"}}",
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    refuses(kinds_type_ResourceRequirements(), "{\"limits\":{\"cpu\":\"1mi\"}}",
            "unable to parse quantity's suffix");
    refuses(kinds_type_ObjectMeta(), "{\"creationTimestamp\":\"yesterday\"}",
            "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse "
            "\"yesterday\" as \"2006\"");
    refuses(kinds_type_ObjectMeta(), "{\"creationTimestamp\":\"2024-13-01T00:00:00Z\"}",
            "parsing time \"2024-13-01T00:00:00Z\": month out of range");
    refuses(kinds_type_Secret(), "{\"data\":{\"a\":\"not base64\"}}",
            "illegal base64 data at input byte 3");
    refuses(kinds_type_HTTPGetAction(), "{\"port\":1.5}",
            "json: cannot unmarshal number 1.5 into Go value of type int32");
}

static const char minimal_pod[] =
    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\",\"namespace\":"
    "\"default\"},"
    "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"imagePullPolicy\":\"Always\","
    "\"terminationMessagePolicy\":\"File\",\"ports\":[{\"containerPort\":80}]}],"
    "\"restartPolicy\":\"Always\",\"dnsPolicy\":\"ClusterFirst\",\"securityContext\":{}}}";

static void test_defaults(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Str message;
    Value *pod = parse(arena, minimal_pod);
    assert_int_equal(schema_normalize(arena, kinds_type_Pod(), pod, NULL, &message), 0);
    schema_default(arena, kinds_resource_core_v1_pods(), pod);
    const Value *container = value_at(pod, "spec.containers")->items[0];
    assert_json(arena, value_at(container, "ports"),
                "[{\"containerPort\":80,\"protocol\":\"TCP\"}]");
    assert_int_equal(value_int_at(pod, "spec.terminationGracePeriodSeconds", 0), 30);
    assert_str(arena, value_string_at(container, "terminationMessagePath"), "/dev/termination-log");
    Value *explicit_zero = parse(arena, "{\"terminationGracePeriodSeconds\":0}");
    schema_default_type(arena, kinds_type_PodSpec(), explicit_zero);
    assert_int_equal(value_int_at(explicit_zero, "terminationGracePeriodSeconds", 9), 0);
}

// "path: message" lines of a validation.
static const char *problems(Arena *arena, const FieldErrors *errors) {
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    for (size_t i = 0; i < errors->n; i++)
        buf_printf(&buf, "%.*s: %.*s\n", STR_ARG(errors->items[i].path),
                   STR_ARG(errors->items[i].message));
    return arena_cstr(arena, buf_view(&buf));
}

static const char *check_type(Arena *arena, const Type *type, const char *json) {
    FieldErrors errors = {.arena = arena};
    schema_validate_type(&errors, type, parse(arena, json), NULL, PATH(NULL, STR("x")));
    return problems(arena, &errors);
}

static void test_table_rules(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(check_type(arena, kinds_type_ContainerPort(), "{\"containerPort\":80}"),
                        "");
    assert_string_equal(check_type(arena, kinds_type_GRPCAction(), "{}"),
                        "x.port: Invalid value: 0: must be between 1 and 65535, inclusive\n");
    assert_string_equal(check_type(arena, kinds_type_ContainerPort(), "{\"containerPort\":0}"),
                        "x.containerPort: Required value\n");
    assert_string_equal(
        check_type(arena, kinds_type_ContainerPort(),
                   "{\"containerPort\":70000,\"protocol\":\"tcp\",\"name\":\"No_Port\"}"),
        "x.name: Invalid value: \"No_Port\": must contain only alpha-numeric characters (a-z, "
        "0-9), and hyphens (-)\n"
        "x.containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive\n"
        "x.protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"\n");
    assert_string_equal(check_type(arena, kinds_type_Probe(), "{\"periodSeconds\":-1}"),
                        "x.periodSeconds: Invalid value: -1: must be greater than or equal to 0\n");
    assert_non_null(
        strstr(check_type(arena, kinds_type_PodSpec(),
                          "{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"a\"}]}"),
               "x.containers[2].name: Duplicate value: \"a\"\n"));
    // upstream allows these to repeat
    assert_null(strstr(
        check_type(arena, kinds_type_Container(), "{\"env\":[{\"name\":\"a\"},{\"name\":\"a\"}]}"),
        "Duplicate"));
    // Upstream's order, its word for a minimum of 1, and what is always there counts as zero or "".
    assert_string_equal(check_type(arena, kinds_type_PodSpec(), "{\"restartPolicy\":\"x\"}"),
                        "x.containers: Required value\n"
                        "x.restartPolicy: Unsupported value: \"x\": supported values: \"Always\", "
                        "\"OnFailure\", \"Never\"\n");
    assert_string_equal(
        check_type(arena, kinds_type_TopologySpreadConstraint(),
                   "{\"topologyKey\":\"k\",\"whenUnsatisfiable\":\"DoNotSchedule\"}"),
        "x.maxSkew: Invalid value: 0: must be greater than zero\n");
    assert_string_equal(check_type(arena, kinds_type_HostAlias(), "{}"),
                        "x.ip: Invalid value: \"\": must be a valid IP address, (e.g. 10.9.8.7 or "
                        "2001:db8::ffff)\n");
}

static void test_many_items_are_compared_in_linear_time(void **state) {
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf buf = BUF_INIT(1 << 22);
    buf_printf(&buf, "{\"containers\":[");
    for (int i = 0; i < 20000; i++)
        buf_printf(&buf, "%s{\"name\":\"c%d\"}", i ? "," : "", i == 19999 ? 3 : i);
    buf_printf(&buf, "]}");
    buf_char(&buf, '\0');
    assert_non_null(strstr(check_type(arena, kinds_type_PodSpec(), buf.data), "Required value"));
}

// Types as a CustomResourceDefinition would make them.
static void test_types_made_at_run_time(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Str set_values[] = {STR("a"), STR("b")}, map_keys[] = {STR("x"), STR("y")};
    Field item_fields[] = {
        {.name = STR("x"),
         .kind = FIELD_INT64,
         .flags = FIELD_POINTER,
         .minimum = INT64_MIN,
         .maximum = INT64_MAX},
        {.name = STR("y"),
         .kind = FIELD_STRING,
         .flags = FIELD_POINTER | FIELD_IMMUTABLE,
         .max_length = 3},
    };
    Type item = {
        .name = STR("Item"), .fields = item_fields, .n_fields = 2, .preserve_unknown = true};
    Field fields[] = {
        {.name = STR("set"),
         .kind = FIELD_STRING,
         .shape = SHAPE_LIST,
         .list_type = LIST_SET,
         .enum_values = set_values,
         .n_enum = 2,
         .flags = FIELD_POINTER},
        {.name = STR("items"),
         .kind = FIELD_OBJECT,
         .type = &item,
         .shape = SHAPE_LIST,
         .list_type = LIST_MAP,
         .keys = map_keys,
         .n_keys = 2,
         .max_length = 2,
         .flags = FIELD_POINTER | FIELD_REQUIRED},
        {.name = STR("n"),
         .kind = FIELD_INT64,
         .flags = FIELD_POINTER,
         .default_json = STR("{\"z\":[1]}"),
         .minimum = INT64_MIN,
         .maximum = 7},
        {.name = STR("raw"), .kind = FIELD_RAW},
    };
    Type type = {.name = STR("Thing"), .fields = fields, .n_fields = 4};
    Str message;
    Value *value =
        parse(arena, "{\"raw\":{\"a\":null},\"items\":[{\"y\":\"\",\"more\":null}],\"set\":[]}");
    assert_int_equal(schema_normalize(arena, &type, value, NULL, &message), 0);
    assert_json(arena, value,
                "{\"set\":[],\"items\":[{\"y\":\"\",\"more\":null}],\"raw\":{\"a\":null}}");
    schema_default_type(arena, &type, value);
    assert_json(arena, value_get(value, STR("n")), "{\"z\":[1]}");

    assert_string_equal(check_type(arena, &type, "{\"set\":[\"a\",\"c\",\"a\"],\"n\":8}"),
                        "x.set[2]: Duplicate value: \"a\"\n"
                        "x.set[1]: Unsupported value: \"c\": supported values: \"a\", \"b\"\n"
                        "x.items: Required value\n"
                        "x.n: Invalid value: 8: must be less than or equal to 7\n");
    assert_string_equal(
        check_type(
            arena, &type,
            "{\"items\":[{\"x\":1,\"y\":\"a\"},{\"x\":1,\"y\":\"long\"},{\"x\":1,\"y\":\"a\"}]}"),
        "x.items: Too many: 3: must have at most 2 items\n"
        "x.items[2]: Duplicate value: {\"x\":1,\"y\":\"a\"}\n"
        "x.items[1].y: Too long: may not be more than 3 bytes\n");
}

static void test_immutable_fields(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Field fields[] = {{.name = STR("a"), .kind = FIELD_STRING, .flags = FIELD_IMMUTABLE}};
    Type type = {.name = STR("T"), .fields = fields, .n_fields = 1};
    FieldErrors errors = {.arena = arena};
    schema_validate_type(&errors, &type, parse(arena, "{\"a\":\"2\"}"),
                         parse(arena, "{\"a\":\"1\"}"), NULL);
    assert_string_equal(problems(arena, &errors), "a: Invalid value: \"2\": field is immutable\n");
    errors.n = 0;
    schema_validate_type(&errors, &type, parse(arena, "{\"a\":\"1\"}"),
                         parse(arena, "{\"a\":\"1\"}"), NULL);
    assert_int_equal(errors.n, 0);
}

static const char *check_format(Arena *arena, FieldFormat format, const char *value) {
    FieldErrors errors = {.arena = arena};
    bool fits = schema_check_format(&errors, PATH(NULL, STR("f")), format, str_from(value));
    assert_int_equal(fits, errors.n == 0);
    return problems(arena, &errors);
}

static void test_formats(void **state) {
    _arena_free_ Arena *arena = arena_new();
    char long_name[300];
    memset(long_name, 'a', sizeof long_name);
    static const struct {
        FieldFormat format;
        const char *value;
    } good[] = {
        {FORMAT_DNS_LABEL, "a"},           {FORMAT_DNS_LABEL, "0-a"},
        {FORMAT_DNS_SUBDOMAIN, "a.b-c.0"}, {FORMAT_DNS_LABEL_1035, "a-0"},
        {FORMAT_LABEL_KEY, "a.b/C_d.e"},   {FORMAT_LABEL_VALUE, ""},
        {FORMAT_LABEL_VALUE, "A_b.c-0"},   {FORMAT_PORT_NAME, "http-2"},
        {FORMAT_ENV_NAME, "0 A-b/c"},      {FORMAT_CONFIG_KEY, "..."},
        {FORMAT_IP, "10.0.0.1"},           {FORMAT_IP, "2001:db8::1"},
        {FORMAT_ABSOLUTE_PATH, "/x"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (good[i].format != FORMAT_CONFIG_KEY)
            assert_string_equal(check_format(arena, good[i].format, good[i].value), "");
    assert_string_equal(
        check_format(arena, FORMAT_DNS_LABEL, "My_Name"),
        "f: Invalid value: \"My_Name\": a lowercase RFC 1123 label must consist of lower case "
        "alphanumeric characters or '-', and must start and end with an alphanumeric character "
        "(e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')\n");
    assert_string_equal(check_format(arena, FORMAT_DNS_LABEL, "a.b"),
                        "f: Invalid value: \"a.b\": must not contain dots\n");
    long_name[64] = '\0';
    assert_non_null(strstr(check_format(arena, FORMAT_DNS_LABEL, long_name),
                           "must be no more than 63 characters"));
    assert_string_equal(
        check_format(arena, FORMAT_DNS_SUBDOMAIN, "a..b"),
        "f: Invalid value: \"a..b\": a lowercase RFC 1123 subdomain must consist of lower case "
        "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
        "character (e.g. 'example.com', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')\n");
    assert_string_equal(
        check_format(arena, FORMAT_DNS_LABEL_1035, "0a"),
        "f: Invalid value: \"0a\": a DNS-1035 label must consist of lower case alphanumeric "
        "characters or '-', start with an alphabetic character, and end with an alphanumeric "
        "character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
        "'[a-z]([-a-z0-9]*[a-z0-9])?')\n");
    assert_string_equal(check_format(arena, FORMAT_LABEL_KEY, "/a"),
                        "f: Invalid value: \"/a\": prefix part must be non-empty\n");
    assert_non_null(strstr(check_format(arena, FORMAT_LABEL_KEY, "a/b/c"),
                           "with an optional DNS subdomain prefix and '/' (e.g. "
                           "'example.com/MyName')"));
    assert_non_null(
        strstr(check_format(arena, FORMAT_LABEL_KEY, ""), "name part must be non-empty"));
    assert_non_null(strstr(check_format(arena, FORMAT_LABEL_VALUE, "-a"),
                           "a valid label must be an empty string or consist of"));
    assert_non_null(strstr(check_format(arena, FORMAT_PORT_NAME, "a--b"),
                           "must not contain consecutive hyphens"));
    assert_non_null(strstr(check_format(arena, FORMAT_PORT_NAME, "80"),
                           "must contain at least one letter (a-z)"));
    assert_non_null(strstr(check_format(arena, FORMAT_ENV_NAME, "a=b"),
                           "must consist only of printable ASCII characters other than '='"));
    assert_non_null(strstr(check_format(arena, FORMAT_CONFIG_KEY, ".."), "must not be '..'"));
    assert_non_null(strstr(check_format(arena, FORMAT_CONFIG_KEY, "a b"), "a valid config key"));
    assert_non_null(strstr(check_format(arena, FORMAT_IP, "10.0.0.256"),
                           "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
}

static const char *check_metadata(Arena *arena, const Resource *resource, const char *metadata,
                                  const char *old) {
    FieldErrors errors = {.arena = arena};
    Value *object = value_new_object(arena), *before = NULL;
    value_set(arena, object, STR("metadata"), parse(arena, metadata));
    if (old) {
        before = value_new_object(arena);
        value_set(arena, before, STR("metadata"), parse(arena, old));
    }
    schema_validate_metadata(&errors, resource, object, before);
    return problems(arena, &errors);
}

static void test_metadata(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *pods = kinds_resource_core_v1_pods(), *nodes = kinds_resource_core_v1_nodes();
    assert_string_equal(check_metadata(arena, pods, "{\"name\":\"a.b\",\"namespace\":\"d\"}", NULL),
                        "");
    assert_string_equal(check_metadata(arena, pods, "{}", NULL),
                        "metadata.name: Required value: name or generateName is required\n"
                        "metadata.namespace: Required value\n");
    assert_string_equal(check_metadata(arena, nodes, "{\"name\":\"n\",\"namespace\":\"d\"}", NULL),
                        "metadata.namespace: Forbidden: not allowed on this type\n");
    assert_string_equal(
        check_metadata(arena, pods,
                       "{\"name\":\"a-x\",\"generateName\":\"a-\",\"namespace\":\"d\"}", NULL),
        "");
    assert_non_null(strstr(
        check_metadata(arena, pods,
                       "{\"name\":\"p\",\"namespace\":\"d\",\"labels\":{\"a b\":\"c d\"}}", NULL),
        "metadata.labels: Invalid value: \"a b\": name part must consist of"));
    assert_string_equal(
        check_metadata(
            arena, pods,
            "{\"name\":\"p\",\"namespace\":\"d\",\"annotations\":{\"Foo.Bar/x\":\" any \"}}", NULL),
        "");
    assert_string_equal(check_metadata(arena, pods,
                                       "{\"name\":\"p\",\"namespace\":\"d\",\"ownerReferences\":["
                                       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":\"n\","
                                       "\"uid\":\"1\",\"controller\":true},"
                                       "{\"apiVersion\":\"a/b/c\",\"kind\":\"X\",\"name\":\"n\"}]}",
                                       NULL),
                        "metadata.ownerReferences[1].apiVersion: Invalid value: \"a/b/c\": must be "
                        "<group>/<version> or <version>\n"
                        "metadata.ownerReferences[1].uid: Required value: must not be empty\n");
    char big[300 * 1024];
    int prefix =
        snprintf(big, sizeof big, "{\"name\":\"p\",\"namespace\":\"d\",\"annotations\":{\"a\":\"");
    memset(big + prefix, 'x', 256 * 1024);
    snprintf(big + prefix + 256 * 1024, 10, "\"}}");
    assert_string_equal(check_metadata(arena, pods, big, NULL),
                        "metadata.annotations: Too long: may not be more than 262144 bytes\n");
}

static void test_metadata_updates(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *pods = kinds_resource_core_v1_pods();
    const char *old = "{\"name\":\"p\",\"namespace\":\"d\",\"uid\":\"u\",\"generation\":2,"
                      "\"finalizers\":[\"a/b\"],\"deletionTimestamp\":\"2024-01-01T00:00:00Z\","
                      "\"deletionGracePeriodSeconds\":30}";
    assert_string_equal(
        check_metadata(arena, pods,
                       "{\"name\":\"p\",\"namespace\":\"d\",\"uid\":\"u\",\"generation\":2,"
                       "\"resourceVersion\":\"1\",\"deletionTimestamp\":\"2024-01-01T00:00:00Z\","
                       "\"deletionGracePeriodSeconds\":30}",
                       old),
        "");
    assert_string_equal(
        check_metadata(
            arena, pods,
            "{\"name\":\"q\",\"namespace\":\"d\",\"generation\":1,\"finalizers\":[\"a/b\",\"c/d\"],"
            "\"deletionTimestamp\":\"2024-01-01T00:00:00Z\"}",
            old),
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being "
        "deleted, found new finalizers []string{\"c/d\"}\n"
        "metadata.resourceVersion: Invalid value: \"\": must be specified for an update\n"
        "metadata.generation: Invalid value: 1: must not be decremented\n"
        "metadata.name: Invalid value: \"q\": field is immutable\n"
        "metadata.uid: Invalid value: \"\": field is immutable\n"
        "metadata.deletionGracePeriodSeconds: Invalid value: null: field is immutable\n");
}

static void test_messages(void **state) {
    _arena_free_ Arena *arena = arena_new();
    FieldErrors errors = {.arena = arena};
    const Path *path = PATH_KEY(PATH_INDEX(PATH(PATH(NULL, STR("spec")), STR("a")), 3), STR("k.x"));
    field_required(&errors, path, "");
    field_required(&errors, path, "why");
    field_invalid(&errors, path, STR("a\"b\n\xc3\xa9\xff"), "detail");
    field_invalid_value(&errors, path, parse(arena, "{\"a\":[1]}"), "detail");
    field_not_found(&errors, path, STR("v"));
    field_forbidden(&errors, path, "no");
    field_too_many(&errors, path, 5, 1);
    assert_string_equal(problems(arena, &errors),
                        "spec.a[3][k.x]: Required value\n"
                        "spec.a[3][k.x]: Required value: why\n"
                        "spec.a[3][k.x]: Invalid value: \"a\\\"b\\n\xc3\xa9\\xff\": detail\n"
                        "spec.a[3][k.x]: Invalid value: {\"a\":[1]}: detail\n"
                        "spec.a[3][k.x]: Not found: \"v\"\n"
                        "spec.a[3][k.x]: Forbidden: no\n"
                        "spec.a[3][k.x]: Too many: 5: must have at most 1 item\n");
    for (int i = 0; i < 5000; i++)
        field_forbidden(&errors, path, "no");
    assert_true(errors.n <= 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_form),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_wrong_types_have_the_wording_of_go),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_table_rules),
        cmocka_unit_test(test_many_items_are_compared_in_linear_time),
        cmocka_unit_test(test_types_made_at_run_time),
        cmocka_unit_test(test_immutable_fields),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_metadata_updates),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "kinds/kinds.h"
#include "schema/check.h"
#include "schema/protobuf.h"
#include "schema_test.h"

// ---- what Go wrote: each fixture holds one object as Kubernetes' own encoders (k8s.io/api
// v0.35.0) write it in both forms, with every field set, or with every pointer set and all else
// empty.

static Str read_fixture(Arena *arena, const char *name, const char *ending) {
    Str path = arena_printf(arena, "%s/test/unit/schema/fixtures/%s.%s", getenv("TEST_SOURCE_ROOT"),
                            name, ending);
    FILE *file = fopen(path.ptr, "rb");
    if (!file)
        fail_msg("%s is missing", path.ptr);
    char *bytes = arena_alloc(arena, 1 << 17);
    size_t n = fread(bytes, 1, 1 << 17, file);
    fclose(file);
    assert_in_range(n, 1, (1 << 17) - 1);
    return str_of(bytes, n);
}

static Value *decode(Arena *arena, const Type *type, Str message) {
    Value *value;
    Str why = STR("");
    if (protobuf_decode(arena, type, message, &value, &why) != 0)
        fail_msg("%.*s: %.*s", STR_ARG(type->name), STR_ARG(why));
    return value;
}

static void normalize(Arena *arena, const Type *type, Value *value) {
    ValuePaths unknown = {0};
    Str message = STR("");
    if (schema_normalize(arena, type, value, &unknown, &message) != 0)
        fail_msg("%.*s: %.*s", STR_ARG(type->name), STR_ARG(message));
    assert_int_equal(unknown.n, 0);
}

static void check_fixture(const char *name, const char *openapi_name) {
    _arena_free_ Arena *arena = arena_new();
    const Type *type = kinds_type(str_from(openapi_name));
    assert_non_null(type);
    Str bytes = read_fixture(arena, name, "pb"), message;
    Value *expected = parse(arena, arena_cstr(arena, read_fixture(arena, name, "json")));
    normalize(arena, type, expected);

    ProtobufEnvelope envelope;
    assert_int_equal(protobuf_open(arena, bytes, &envelope, &message), 0);
    Value *value = decode(arena, type, envelope.raw);
    value_set_str(arena, value, STR("kind"), envelope.kind);
    value_set_str(arena, value, STR("apiVersion"), envelope.api_version);
    normalize(arena, type, value);
    assert_string_equal(text_of(arena, value), text_of(arena, expected));

    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    assert_int_equal(protobuf_encode(type, expected, &buf), 0);
    assert_int_equal(buf.len, bytes.len);
    assert_memory_equal(buf.data, bytes.ptr, bytes.len);
}

static void test_as_go_writes_it(void **state) {
    static const struct {
        const char *name, *openapi_name;
    } fixtures[] = {
        {"Pod", "io.k8s.api.core.v1.Pod"},
        {"Pod-empty", "io.k8s.api.core.v1.Pod"},
        {"Node", "io.k8s.api.core.v1.Node"},
        {"Node-empty", "io.k8s.api.core.v1.Node"},
        {"Event", "io.k8s.api.core.v1.Event"},
        {"EventsEvent", "io.k8s.api.events.v1.Event"},
        {"Lease", "io.k8s.api.coordination.v1.Lease"},
        {"Secret", "io.k8s.api.core.v1.Secret"},
        {"Service", "io.k8s.api.core.v1.Service"},
        {"Service-empty", "io.k8s.api.core.v1.Service"},
        {"ConfigMap", "io.k8s.api.core.v1.ConfigMap"},
        {"PersistentVolume", "io.k8s.api.core.v1.PersistentVolume"},
        {"RoleBinding", "io.k8s.api.rbac.v1.RoleBinding"},
        {"SubjectAccessReview", "io.k8s.api.authorization.v1.SubjectAccessReview"},
        {"TokenRequest", "io.k8s.api.authentication.v1.TokenRequest"},
        {"DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"},
        {"Status", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"},
    };
    for (size_t i = 0; i < sizeof fixtures / sizeof *fixtures; i++)
        check_fixture(fixtures[i].name, fixtures[i].openapi_name);
}

// ---- every type there and back, with every field that has a number

static Value *full_object(Arena *arena, const Type *type, unsigned *seed);

static Value *full_one(Arena *arena, const Field *field, unsigned *seed) {
    unsigned n = ++*seed;
    switch ((FieldKind)field->kind) {
    case FIELD_STRING:
        return value_new_string(arena, arena_printf(arena, "text %u \xc3\xa4", n));
    case FIELD_BOOL:
        return value_new_bool(arena, true);
    case FIELD_INT32:
        return value_new_int(arena, n % 2 ? INT32_MAX - (int)n : INT32_MIN + (int)n);
    case FIELD_INT64:
        return value_new_int(arena, n % 2 ? INT64_MAX - n : INT64_MIN + n);
    case FIELD_DOUBLE:
        return value_new_double(arena, n + 0.25);
    case FIELD_BYTES:
        return value_new_string(arena, n % 2 ? STR("AP8=") : STR("AAEC/w=="));
    case FIELD_QUANTITY:
        return value_new_string(arena, arena_printf(arena, "%uMi", n));
    case FIELD_INT_OR_STRING:
        return n % 2 ? value_new_int(arena, -(int)n)
                     : value_new_string(arena, arena_printf(arena, "%u%%", n));
    case FIELD_TIME:
        return value_new_string(arena, arena_printf(arena, "2026-01-02T03:04:%02uZ", n % 60));
    case FIELD_MICRO_TIME:
        return value_new_string(arena,
                                arena_printf(arena, "1969-12-31T23:59:59.%06uZ", n % 1000000));
    case FIELD_DURATION:
        return value_new_string(arena, arena_printf(arena, "1h%um0s", n % 60));
    case FIELD_OBJECT:
        return full_object(arena, field->type, seed);
    case FIELD_RAW:
        if (field->flags & FIELD_OR_BOOL)
            return n % 2 ? value_new_bool(arena, n % 4 == 1) : full_object(arena, field->type, seed);
        if (field->flags & FIELD_OR_LIST) {
            Value *one = full_object(arena, field->type, seed), *list = value_new_array(arena);
            value_push(arena, list, one);
            return n % 2 ? one : list;
        }
        return parse(arena, field->shape == SHAPE_MAP ? "[\"a\",\"\"]" : "{\"f:a\":{\".\":{}}}");
    }
    return NULL;
}

static Value *full_field(Arena *arena, const Field *field, unsigned *seed) {
    if (field->shape == SHAPE_ONE)
        return full_one(arena, field, seed);
    Value *value = field->shape == SHAPE_LIST ? value_new_array(arena) : value_new_object(arena);
    for (int i = 0; i < 2; i++) {
        Value *item = full_one(arena, field, seed);
        if (field->shape == SHAPE_LIST)
            value_push(arena, value, item);
        else
            value_set(arena, value, arena_printf(arena, "key %u", *seed), item);
    }
    return value;
}

static void fill_object(Arena *arena, const Type *type, unsigned *seed, Value *object) {
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        if (!field->number)
            continue;
        if (field->flags & FIELD_INLINE)
            fill_object(arena, field->type, seed, object);
        else
            value_set(arena, object, field->name, full_field(arena, field, seed));
    }
}

// A type that holds itself (JSONSchemaProps) is empty the second time.
static Value *full_object(Arena *arena, const Type *type, unsigned *seed) {
    static const Type *open[32];
    static size_t n;
    Value *object = value_new_object(arena);
    for (size_t i = 0; i < n; i++)
        if (open[i] == type)
            return object;
    assert_true(n < 32);
    open[n++] = type;
    fill_object(arena, type, seed, object);
    n--;
    return object;
}

static void check_round_trip(Arena *arena, const Type *type, Value *value) {
    _buf_deinit_ Buf buf = BUF_INIT(64 << 20);
    normalize(arena, type, value);
    if (protobuf_encode_message(type, value, &buf) != 0)
        fail_msg("%.*s", STR_ARG(type->openapi_name));
    Value *again = decode(arena, type, buf_view(&buf));
    normalize(arena, type, again);
    if (!value_equal(value, again))
        fail_msg("%.*s: %s\n%s", STR_ARG(type->openapi_name), text_of(arena, value),
                 text_of(arena, again));
}

static void test_every_type_there_and_back(void **state) {
    size_t i = 0;
    for (const Type *type; (type = kinds_type_at(i)); i++) {
        _arena_free_ Arena *arena = arena_new();
        unsigned seed = 0;
        check_round_trip(arena, type, full_object(arena, type, &seed));
        check_round_trip(arena, type, value_new_object(arena));
    }
    assert_true(i > 200);
}

// ---- what others may send

static const Type *type_named(const char *openapi_name) {
    const Type *type = kinds_type(str_from(openapi_name));
    assert_non_null(type);
    return type;
}
#define META "io.k8s.apimachinery.pkg.apis.meta.v1."
#define CORE "io.k8s.api.core.v1."
#define assert_decodes(type, bytes, json)                                                          \
    do {                                                                                           \
        _arena_free_ Arena *arena_ = arena_new();                                                  \
        assert_json(arena_, decode(arena_, type_named(type), STR(bytes)), json);                   \
    } while (0)

static void test_last_one_wins_and_messages_merge(void **state) {
    assert_decodes(META "ObjectMeta", "\x0a\x01x\x0a\x02yz", "{\"name\":\"yz\"}");
    assert_decodes(META "ObjectMeta",
                   "\x5a\x06\x0a\x01x\x12\x01y\x5a\x06\x0a\x01z\x12\x01y\x5a\x06\x0a\x01x\x12\x01w",
                   "{\"labels\":{\"x\":\"w\",\"z\":\"y\"}}");
    // metadata twice: the second adds to the first
    assert_decodes(CORE "ConfigMap", "\x0a\x03\x0a\x01x\x0a\x03\x1a\x01y",
                   "{\"metadata\":{\"name\":\"x\",\"namespace\":\"y\"}}");
    // an entry without key and value
    assert_decodes(CORE "ConfigMap", "\x12\x00", "{\"data\":{\"\":\"\"}}");
}

static void test_packed_and_unpacked_lists(void **state) {
    // supplementalGroups = 4
    assert_decodes(CORE "PodSecurityContext", "\x20\x01\x22\x03\x02\xac\x02\x20\x03",
                   "{\"supplementalGroups\":[1,2,300,3]}");
}

static void test_unknown_fields_are_passed_over(void **state) {
    // number 1000 as varint, fixed64, bytes, fixed32; then name
    assert_decodes(META "ObjectMeta",
                   "\xc0\x3e\x07\xc1\x3e"
                   "12345678\xc2\x3e\x02hi\xc5\x3e"
                   "1234\x0a\x01x",
                   "{\"name\":\"x\"}");
}

static void test_scalars_as_go_reads_them(void **state) {
    assert_decodes(META "ObjectMeta", "\x42\x00", "{\"creationTimestamp\":null}");
    assert_decodes(META "ObjectMeta", "\x42\x0b\x08\x80\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01",
                   "{\"creationTimestamp\":null}"); // January of year 1
    assert_decodes(META "ObjectMeta", "\x42\x04\x08\x01\x10\x63",
                   "{\"creationTimestamp\":\"1970-01-01T00:00:01Z\"}");
    assert_decodes(META "ObjectMeta", "\x0a\x03z\xff\xfe",
                   "{\"name\":\"z\xef\xbf\xbd\xef\xbf\xbd\"}");
    assert_decodes(CORE "TCPSocketAction", "\x0a\x00", "{\"port\":0}");
    assert_decodes(CORE "TCPSocketAction", "\x0a\x05\x08\x01\x1a\x01p", "{\"port\":\"p\"}");
    assert_decodes(CORE "ContainerPort", "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                   "{\"containerPort\":-1}");
    assert_decodes(CORE "ResourceRequirements",
                   "\x0a\x07\x0a\x03"
                   "cpu\x12\x00",
                   "{\"limits\":{\"cpu\":\"0\"}}");
}

static void refuse_message(const char *type, Str bytes, int error, const char *why) {
    _arena_free_ Arena *arena = arena_new();
    Value *value;
    Str message = STR("");
    assert_int_equal(protobuf_decode(arena, type_named(type), bytes, &value, &message), error);
    assert_str(arena, message, why);
}
#define assert_refused(type, bytes, why) refuse_message(type, STR(bytes), -EBADMSG, why)

static void test_broken_messages_are_refused(void **state) {
    assert_refused(META "ObjectMeta", "\x0a", "unexpected EOF");
    assert_refused(META "ObjectMeta",
                   "\x0a\x05"
                   "abc",
                   "unexpected EOF");
    assert_refused(META "ObjectMeta", "\x80", "unexpected EOF");
    assert_refused(META "ObjectMeta", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
                   "proto: integer overflow");
    assert_refused(META "ObjectMeta", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                   "proto: negative length found during unmarshaling");
    assert_refused(META "ObjectMeta", "\x08\x01", "proto: wrong wireType = 0 for field Name");
    assert_refused(CORE "ConfigMap", "\x10\x01", "proto: wrong wireType = 0 for field Data");
    assert_refused(META "ObjectMeta", "\x02\x00", "proto: ObjectMeta: illegal tag 0 (wire type 2)");
    assert_refused(META "ObjectMeta", "\x0c",
                   "proto: ObjectMeta: wiretype end group for non-group");
    assert_refused(META "ObjectMeta", "\xc3\x3e\xc4\x3e",
                   "proto: ObjectMeta: groups are not accepted");
    assert_refused(META "ObjectMeta", "\x0e", "proto: illegal wireType 6");
    assert_refused(META "ManagedFieldsEntry", "\x3a\x03\x0a\x01{", "unexpected end of JSON input");
}

// managedFields[0].fieldsV1 that holds lists, `nested` deep.
static Str nested_raw(Arena *arena, size_t nested) {
    _buf_deinit_ Buf json = BUF_INIT(4096), buf = BUF_INIT(4096);
    for (size_t i = 0; i < nested; i++)
        buf_char(&json, '[');
    for (size_t i = 0; i < nested; i++)
        buf_char(&json, ']');
    assert_in_range(json.len, 128, 250);
    buf_printf(&buf, "\x3a%c\x01\x0a%c\x01", (int)(0x80 | ((json.len + 3) & 0x7f)),
               (int)(0x80 | (json.len & 0x7f)));
    buf_str(&buf, buf_view(&json));
    return arena_str(arena, buf_view(&buf));
}

static void test_depth_counts_raw_json_too(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *value;
    Str message;
    const Type *type = type_named(META "ManagedFieldsEntry");
    assert_int_equal(protobuf_decode(arena, type, nested_raw(arena, 99), &value, &message), 0);
    assert_true(strlen(text_of(arena, value)) > 99);
    refuse_message(META "ManagedFieldsEntry", nested_raw(arena, 100), -E2BIG, "exceeded max depth");
}

static void test_many_keys_cost_linear_work(void **state) {
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf buf = BUF_INIT(4 << 20);
    // metadata again and again, each time with one more label
    for (unsigned i = 0; i < 200000; i++)
        buf_printf(&buf, "\x0a\x0a\x5a\x08\x0a\x06%06u", i % 150000);
    Value *value = decode(arena, type_named(CORE "ConfigMap"), buf_view(&buf));
    assert_int_equal(value_at(value, "metadata.labels")->n, 150000);
}

static void refuse_envelope(Str bytes, const char *why) {
    _arena_free_ Arena *arena = arena_new();
    ProtobufEnvelope envelope;
    Str message;
    assert_int_equal(protobuf_open(arena, bytes, &envelope, &message), -EBADMSG);
    assert_str(arena, message, why);
}

static void test_envelope(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ProtobufEnvelope envelope;
    Str message;
    assert_int_equal(protobuf_open(arena,
                                   STR("k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x01x\x1a\x00"),
                                   &envelope, &message),
                     0);
    assert_str(arena, envelope.kind, "Pod");
    assert_str(arena, envelope.api_version, "v1");
    assert_str(arena, envelope.raw, "x");
    assert_int_equal(protobuf_open(arena, STR("k8s\0\x12\x00"), &envelope, &message), 0);
    assert_int_equal(envelope.kind.len + envelope.api_version.len + envelope.raw.len, 0);
    refuse_envelope(STR(""), "empty data");
    refuse_envelope(STR("k8s\0"), "empty body");
    refuse_envelope(STR("{\"kind\":\"Pod\"}"), "provided data does not appear to be a protobuf "
                                               "message, expected prefix [107 56 115 0]");
    refuse_envelope(STR("k8s\0\x12\x05xy"), "unexpected EOF");
    refuse_envelope(STR("k8s\0\x10\x01"), "proto: wrong wireType = 0 for field Raw");
    refuse_envelope(STR("k8s\0\x00\x01"), "proto: Unknown: illegal tag 0 (wire type 0)");
}

static void test_encode_refuses_what_is_not_normal(void **state) {
    _arena_free_ Arena *arena = arena_new();
    static const char *const bad[] = {
        "{\"metadata\":[]}",
        "{\"metadata\":{\"name\":1}}",
        "{\"metadata\":{\"creationTimestamp\":\"noon\"}}",
        "{\"metadata\":{\"generation\":\"1\"}}",
        "{\"metadata\":{\"labels\":[]}}",
        "{\"metadata\":{\"finalizers\":\"x\"}}",
        "{\"binaryData\":{\"a\":\"***\"}}",
        "{\"immutable\":\"true\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        _buf_deinit_ Buf buf = BUF_INIT(4096);
        assert_int_equal(protobuf_encode(type_named(CORE "ConfigMap"), parse(arena, bad[i]), &buf),
                         -EINVAL);
        assert_int_equal(buf.len, 0);
    }
    _buf_deinit_ Buf small = BUF_INIT(16);
    assert_int_equal(protobuf_encode(type_named(CORE "ConfigMap"), parse(arena, "{}"), &small),
                     -E2BIG);
}

static void test_types_without_numbers(void **state) {
    Field field = {.name = STR("x"), .kind = FIELD_STRING};
    Type type = {.name = STR("Custom"), .fields = &field, .n_fields = 1};
    assert_false(protobuf_has_form(&type));
    assert_true(protobuf_has_form(type_named(CORE "Pod")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_go_writes_it),
        cmocka_unit_test(test_every_type_there_and_back),
        cmocka_unit_test(test_last_one_wins_and_messages_merge),
        cmocka_unit_test(test_packed_and_unpacked_lists),
        cmocka_unit_test(test_unknown_fields_are_passed_over),
        cmocka_unit_test(test_scalars_as_go_reads_them),
        cmocka_unit_test(test_broken_messages_are_refused),
        cmocka_unit_test(test_depth_counts_raw_json_too),
        cmocka_unit_test(test_many_keys_cost_linear_work),
        cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_encode_refuses_what_is_not_normal),
        cmocka_unit_test(test_types_without_numbers),
    };
    return cmocka_run_group_tests_name("schema/protobuf", tests, NULL, NULL);
}

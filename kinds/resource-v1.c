#include "kinds/resource-v1.h"

#include "kinds/pod.h"
#include "schema/format.h"

#define MAX_DOMAIN_BYTES 63
#define MAX_ID_BYTES 32
#define MAX_POOL_BYTES 253
#define MAX_SELECTORS 32
#define MAX_EXPRESSION_BYTES (10 * 1024)
#define MAX_PARAMETER_BYTES (10 * 1024)
#define C_IDENTIFIER                                                                               \
    "a valid C identifier must start with alphabetic character or '_', followed by a string of "   \
    "alphanumeric characters or "                                                                  \
    "'_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is "              \
    "'[A-Za-z_][A-Za-z0-9_]*')"

// ---- names

void device_driver_validate(FieldErrors *errors, Str name, const Path *path) {
    if (!name.len)
        field_required(errors, path, "");
    csi_driver_validate(errors, name, path);
}

void device_pool_validate(FieldErrors *errors, Str name, const Path *path) {
    Str rest = name;
    if (!name.len) {
        field_required(errors, path, "");
        return;
    }
    if (name.len > MAX_POOL_BYTES)
        field_too_long(errors, path, MAX_POOL_BYTES);
    while (rest.ptr)
        schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, str_cut(&rest, '/'));
}

void device_label_validate(FieldErrors *errors, Str name, const Path *path) {
    schema_check_format(errors, path, FORMAT_DNS_LABEL, name);
}

void device_class_name_validate(FieldErrors *errors, Str name, const Path *path) {
    if (name.len)
        schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, name);
    else
        field_required(errors, path, "");
}

static bool is_identifier(Str id) {
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return id.len > 0;
}

static void check_identifier(FieldErrors *errors, Str id, const Path *path) {
    if (id.len > MAX_ID_BYTES)
        field_too_long(errors, path, MAX_ID_BYTES);
    if (!is_identifier(id))
        field_invalid(errors, path, id, C_IDENTIFIER);
}

void device_attribute_name_validate(FieldErrors *errors, Str name, bool with_domain,
                                    const Path *path) {
    Str rest = name;
    Str domain = str_cut(&rest, '/');
    if (!name.len) {
        field_required(errors, path, "name required");
        return;
    }
    if (!rest.ptr) {
        check_identifier(errors, name, path);
        if (with_domain)
            field_invalid(errors, path, name, "must include a domain");
        return;
    }
    if (domain.len)
        device_driver_validate(errors, domain, path);
    else
        field_required(errors, path, "the domain must not be empty");
    if (rest.len)
        check_identifier(errors, rest, path);
    else
        field_required(errors, path, "the name must not be empty");
}

// ---- selectors and configuration

void device_selectors_validate(FieldErrors *errors, const Value *selectors, const Path *path) {
    if (list_count(selectors) > MAX_SELECTORS)
        field_too_many(errors, path, selectors->n, MAX_SELECTORS);
    for (uint32_t i = 0; i < list_count(selectors); i++) {
        const Path *at = AT(PATH_INDEX(path, i), "cel");
        const Value *cel = GET(selectors->items[i], "cel");
        if (!cel)
            field_required(errors, at, "");
        else if (GET_STR(cel, "expression").len > MAX_EXPRESSION_BYTES)
            field_too_long(errors, AT(at, "expression"), MAX_EXPRESSION_BYTES);
    }
}

void device_raw_validate(FieldErrors *errors, const Value *raw, size_t max, const Path *path) {
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
    if (!raw || raw->kind == VALUE_NULL) {
        field_required(errors, path, "");
        return;
    }
    value_write_json(raw, &buf);
    if (buf_view(&buf).len > max)
        field_too_long(errors, path, max);
    else if (raw->kind != VALUE_OBJECT)
        field_invalid(errors, path, STR("<value omitted>"),
                      "parameters must be a valid JSON object");
}

void device_configuration_validate(FieldErrors *errors, const Value *holder, const Path *path) {
    const Value *opaque = GET(holder, "opaque");
    const Path *at = AT(path, "opaque");
    if (!opaque) {
        field_required(errors, at, "");
        return;
    }
    device_driver_validate(errors, GET_STR(opaque, "driver"), AT(at, "driver"));
    device_raw_validate(errors, GET(opaque, "parameters"), MAX_PARAMETER_BYTES,
                        AT(at, "parameters"));
}

void device_drop(Value *object, const Str *fields, size_t n) {
    for (size_t i = 0; object && i < n; i++)
        value_unset(object, fields[i]);
}

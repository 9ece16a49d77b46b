// metav1.Status: apimachinery's pkg/api/errors/errors.go.

#include "schema/status.h"

#include "base/map.h"
#include "schema/quote.h"

#define MAX_MESSAGE (16 * 1024 * 1024)

ApiStatus *status_new(Arena *arena, int code, Str reason, Str message) {
    ApiStatus *status = arena_new_of(arena, ApiStatus);
    status->code = code;
    status->reason = reason;
    status->message = message;
    return status;
}

// "pods", "deployments.apps"
static Str qualified(Arena *arena, Str group, Str name) {
    if (!group.len)
        return name.ptr ? name : STR("");
    return arena_printf(arena, "%.*s.%.*s", STR_ARG(name), STR_ARG(group));
}

static ApiStatus *about(Arena *arena, ApiStatus *status, Str group, Str kind, Str name) {
    status->group = arena_str(arena, group);
    status->kind = arena_str(arena, kind);
    status->name = arena_str(arena, name);
    return status;
}

static Str describe(Arena *arena, Str group, Str resource, Str name) {
    Str what = qualified(arena, group, resource), quoted = quote_str(arena, name);
    return arena_printf(arena, "%.*s %.*s", STR_ARG(what), STR_ARG(quoted));
}

ApiStatus *status_not_found(Arena *arena, Str group, Str resource, Str name) {
    if (!resource.len)
        return status_new(arena, 404, STR("NotFound"),
                          STR("the server could not find the requested resource"));
    Str what = describe(arena, group, resource, name);
    return about(arena,
                 status_new(arena, 404, STR("NotFound"),
                            arena_printf(arena, "%.*s not found", STR_ARG(what))),
                 group, resource, name);
}

ApiStatus *status_already_exists(Arena *arena, Str group, Str resource, Str name) {
    Str what = describe(arena, group, resource, name);
    return about(arena,
                 status_new(arena, 409, STR("AlreadyExists"),
                            arena_printf(arena, "%.*s already exists", STR_ARG(what))),
                 group, resource, name);
}

ApiStatus *status_conflict(Arena *arena, Str group, Str resource, Str name, Str why) {
    Str what = describe(arena, group, resource, name);
    return about(arena,
                 status_new(arena, 409, STR("Conflict"),
                            arena_printf(arena, "Operation cannot be fulfilled on %.*s: %.*s",
                                         STR_ARG(what), STR_ARG(why))),
                 group, resource, name);
}

static Str cause_type(FieldErrorKind kind) {
    switch (kind) {
    case FIELD_ERROR_REQUIRED:
        return STR("FieldValueRequired");
    case FIELD_ERROR_INVALID:
        return STR("FieldValueInvalid");
    case FIELD_ERROR_NOT_SUPPORTED:
        return STR("FieldValueNotSupported");
    case FIELD_ERROR_DUPLICATE:
        return STR("FieldValueDuplicate");
    case FIELD_ERROR_NOT_FOUND:
        return STR("FieldValueNotFound");
    case FIELD_ERROR_FORBIDDEN:
        return STR("FieldValueForbidden");
    case FIELD_ERROR_TOO_LONG:
        return STR("FieldValueTooLong");
    case FIELD_ERROR_TOO_MANY:
        return STR("FieldValueTooMany");
    case FIELD_ERROR_TYPE_INVALID:
        return STR("FieldValueTypeInvalid");
    }
    return STR("");
}

// errors.Aggregate: one message as it is, several in brackets, none twice.
static Str aggregate(Arena *arena, const FieldErrors *errors) {
    _map_free_ Map *seen = map_new();
    _buf_deinit_ Buf buf = BUF_INIT(MAX_MESSAGE);
    size_t n = 0;
    for (size_t i = 0; i < errors->n; i++) {
        Str line = arena_printf(arena, "%.*s: %.*s", STR_ARG(errors->items[i].path),
                                STR_ARG(errors->items[i].message));
        if (map_put(seen, line, seen))
            continue;
        if (n++)
            buf_str(&buf, STR(", "));
        buf_str(&buf, line);
    }
    Str all = buf_view(&buf);
    return n > 1 ? arena_printf(arena, "[%.*s]", STR_ARG(all)) : arena_str(arena, all);
}

ApiStatus *status_invalid(Arena *arena, Str group, Str kind, Str name, const FieldErrors *errors) {
    ApiStatusCause *causes = arena_array_of(arena, ApiStatusCause, errors->n);
    for (size_t i = 0; i < errors->n; i++)
        causes[i] = (ApiStatusCause){.type = cause_type(errors->items[i].kind),
                                     .message = errors->items[i].message,
                                     .field = errors->items[i].path};
    Str what = describe(arena, group, kind, name), all = aggregate(arena, errors);
    Str message = arena_printf(arena, "%.*s is invalid%s%.*s", STR_ARG(what), all.len ? ": " : "",
                               STR_ARG(all));
    ApiStatus *status =
        about(arena, status_new(arena, 422, STR("Invalid"), message), group, kind, name);
    status->causes = causes;
    status->n_causes = errors->n;
    return status;
}

ApiStatus *status_bad_request(Arena *arena, Str message) {
    return status_new(arena, 400, STR("BadRequest"), message);
}

ApiStatus *status_unauthorized(Arena *arena) {
    return status_new(arena, 401, STR("Unauthorized"), STR("Unauthorized"));
}

ApiStatus *status_forbidden(Arena *arena, Str group, Str resource, Str name, Str why) {
    Str what = qualified(arena, group, resource), quoted = quote_str(arena, name), message;
    if (!resource.len)
        message = arena_printf(arena, "forbidden: %.*s", STR_ARG(why));
    else if (!name.len)
        message = arena_printf(arena, "%.*s is forbidden: %.*s", STR_ARG(what), STR_ARG(why));
    else
        message = arena_printf(arena, "%.*s %.*s is forbidden: %.*s", STR_ARG(what),
                               STR_ARG(quoted), STR_ARG(why));
    return about(arena, status_new(arena, 403, STR("Forbidden"), message), group, resource, name);
}

ApiStatus *status_method_not_allowed(Arena *arena, Str group, Str resource, Str verb) {
    if (!resource.len)
        return status_new(arena, 405, STR("MethodNotAllowed"),
                          STR("the server does not allow this method on the requested resource"));
    Str what = qualified(arena, group, resource), quoted = quote_str(arena, what);
    return about(arena,
                 status_new(arena, 405, STR("MethodNotAllowed"),
                            arena_printf(arena, "%.*s is not supported on resources of kind %.*s",
                                         STR_ARG(verb), STR_ARG(quoted))),
                 group, resource, STR_NONE);
}

ApiStatus *status_not_acceptable(Arena *arena, Str message) {
    return status_new(arena, 406, STR("NotAcceptable"), message);
}

ApiStatus *status_unsupported_media_type(Arena *arena, Str message) {
    return status_new(arena, 415, STR("UnsupportedMediaType"), message);
}

ApiStatus *status_too_large(Arena *arena, Str message) {
    return status_new(arena, 413, STR("RequestEntityTooLarge"),
                      arena_printf(arena, "Request entity too large: %.*s", STR_ARG(message)));
}

ApiStatus *status_too_many_requests(Arena *arena, Str message, int retry_after) {
    ApiStatus *status = status_new(arena, 429, STR("TooManyRequests"), message);
    status->retry_after_seconds = retry_after;
    return status;
}

ApiStatus *status_expired(Arena *arena, Str message) {
    return status_new(arena, 410, STR("Expired"), message);
}

ApiStatus *status_internal(Arena *arena, Str message) {
    ApiStatusCause *cause = arena_new_of(arena, ApiStatusCause);
    cause->message = message;
    ApiStatus *status =
        status_new(arena, 500, STR("InternalError"),
                   arena_printf(arena, "Internal error occurred: %.*s", STR_ARG(message)));
    status->causes = cause;
    status->n_causes = 1;
    return status;
}

ApiStatus *status_unavailable(Arena *arena, Str message) {
    return status_new(arena, 503, STR("ServiceUnavailable"), message);
}

ApiStatus *status_timeout(Arena *arena, Str message) {
    return status_new(arena, 504, STR("Timeout"),
                      arena_printf(arena, "Timeout: %.*s", STR_ARG(message)));
}

static void set_unless_empty(Arena *arena, Value *object, Str key, Str text) {
    if (text.len)
        value_set_str(arena, object, key, text);
}

static Value *causes_to_value(Arena *arena, const ApiStatus *status) {
    Value *list = value_new_array(arena);
    for (size_t i = 0; i < status->n_causes; i++) {
        Value *cause = value_new_object(arena);
        set_unless_empty(arena, cause, STR("reason"), status->causes[i].type);
        set_unless_empty(arena, cause, STR("message"), status->causes[i].message);
        set_unless_empty(arena, cause, STR("field"), status->causes[i].field);
        value_push(arena, list, cause);
    }
    return list;
}

Value *status_to_value(Arena *arena, const ApiStatus *status) {
    Value *object = value_new_object(arena), *details = value_new_object(arena);
    value_set_str(arena, object, STR("kind"), STR("Status"));
    value_set_str(arena, object, STR("apiVersion"), STR("v1"));
    value_set(arena, object, STR("metadata"), value_new_object(arena));
    value_set_str(arena, object, STR("status"), STR("Failure"));
    set_unless_empty(arena, object, STR("message"), status->message);
    set_unless_empty(arena, object, STR("reason"), status->reason);
    set_unless_empty(arena, details, STR("name"), status->name);
    set_unless_empty(arena, details, STR("group"), status->group);
    set_unless_empty(arena, details, STR("kind"), status->kind);
    set_unless_empty(arena, details, STR("uid"), status->uid);
    if (status->n_causes)
        value_set(arena, details, STR("causes"), causes_to_value(arena, status));
    if (status->retry_after_seconds)
        value_set_int(arena, details, STR("retryAfterSeconds"), status->retry_after_seconds);
    if (details->n)
        value_set(arena, object, STR("details"), details);
    value_set_int(arena, object, STR("code"), status->code);
    return object;
}

// client-go's words for an answer that is no Status.
static ApiStatus *generic_response(Arena *arena, int code, Str body) {
    static const struct {
        int code;
        const char *reason, *message; // NULL: the body
    } known[] = {
        {400, "BadRequest", "the server rejected our request for an unknown reason"},
        {401, "Unauthorized", "the server has asked for the client to provide credentials"},
        {403, "Forbidden", NULL},
        {404, "NotFound", "the server could not find the requested resource"},
        {405, "MethodNotAllowed",
         "the server does not allow this method on the requested resource"},
        {406, "NotAcceptable", NULL},
        {409, "Conflict", "the server reported a conflict"},
        {415, "UnsupportedMediaType", NULL},
        {422, "Invalid", "the server rejected our request due to an error in our request"},
        {429, "TooManyRequests",
         "the server has received too many requests and has asked us to try again later"},
        {503, "ServiceUnavailable", "the server is currently unable to handle the request"},
        {504, "Timeout",
         "the server was unable to return a response in the time allotted, but may still be "
         "processing the request"},
    };
    Str shown = arena_str(
        arena, str_slice(body.ptr ? body : STR(""), 0, body.len > 2048 ? 2048 : body.len));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].code == code)
            return status_new(arena, code, str_from(known[i].reason),
                              known[i].message ? str_from(known[i].message) : shown);
    Str quoted = quote_str(arena, shown);
    if (code >= 500)
        return status_new(arena, code, STR("InternalError"),
                          arena_printf(arena,
                                       "an error on the server (%.*s) has prevented the request "
                                       "from succeeding",
                                       STR_ARG(quoted)));
    return status_new(arena, code, STR(""),
                      arena_printf(arena,
                                   "the server responded with the status code %d but did not "
                                   "return more information",
                                   code));
}

ApiStatus *status_from_body(Arena *arena, int http_code, Str body) {
    Value *value;
    ParseError error;
    body = arena_str(arena, body.ptr ? body : STR(""));
    if (value_parse_json(arena, body, NULL, &value, &error) ||
        !str_eq(value_string_at(value, "kind"), STR("Status")))
        return generic_response(arena, http_code, body);
    const Value *details = value_get(value, STR("details"));
    ApiStatus *status =
        status_new(arena, (int)value_int_at(value, "code", http_code),
                   value_string_at(value, "reason"), value_string_at(value, "message"));
    status->name = value_string_at(details, "name");
    status->group = value_string_at(details, "group");
    status->kind = value_string_at(details, "kind");
    status->uid = value_string_at(details, "uid");
    status->retry_after_seconds = (int)value_int_at(details, "retryAfterSeconds", 0);
    const Value *causes = value_get(details, STR("causes"));
    if (!causes || causes->kind != VALUE_ARRAY)
        return status;
    ApiStatusCause *list = arena_array_of(arena, ApiStatusCause, causes->n);
    for (uint32_t i = 0; i < causes->n; i++)
        list[i] = (ApiStatusCause){.type = value_string_at(causes->items[i], "reason"),
                                   .message = value_string_at(causes->items[i], "message"),
                                   .field = value_string_at(causes->items[i], "field")};
    status->causes = list;
    status->n_causes = causes->n;
    return status;
}

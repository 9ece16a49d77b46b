#include "api/route.h"

#include <errno.h>

#define MAX_PARTS 32

static Str lower(Arena *arena, Str s) {
    char *text = arena_cstr(arena, s);
    for (char *c = text; *c; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    return str_of(text, s.len);
}

static Str verb_of_method(Arena *arena, Str method) {
    if (str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")))
        return STR("get");
    if (str_eq(method, STR("POST")))
        return STR("create");
    if (str_eq(method, STR("PUT")))
        return STR("update");
    if (str_eq(method, STR("PATCH")))
        return STR("patch");
    if (str_eq(method, STR("DELETE")))
        return STR("delete");
    return STR("");
}

static bool is_true(Str value) { // as Go reads a boolean parameter: anything but "false" and "0"
    return value.ptr && !str_eq(value, STR("false")) && !str_eq(value, STR("0"));
}

// metadata.name=x alone makes x the name that is asked for, so that a role's resourceNames applies.
static Str name_from_selector(HttpRequest *request) {
    Str selector = http_query(request, STR("fieldSelector"));
    while (selector.ptr && selector.len) {
        Str term = str_cut(&selector, ',');
        Str key = STR("metadata.name=");
        if (!str_starts_with(term, key))
            continue;
        Str name = str_slice(term, key.len, term.len);
        if (str_starts_with(name, STR("=")))
            name = str_slice(name, 1, name.len);
        if (name.len && str_find(name, '/') < 0 && str_find(name, '%') < 0 &&
            !str_eq(name, STR(".")) && !str_eq(name, STR("..")))
            return name;
    }
    return STR("");
}

static void parse_resource(HttpRequest *request, RequestInfo *info, Str *parts, size_t n,
                           Str tail) {
    info->is_resource = true;
    info->verb = verb_of_method(request->arena, request->method);
    if (str_eq(parts[0], STR("watch")) && n > 1) {
        info->verb = STR("watch");
        info->watch_prefix = true;
        parts++, n--;
    }
    if (str_eq(parts[0], STR("namespaces")) && n > 1) {
        info->namespace_ = parts[1];
        if (n > 2 && !str_eq(parts[2], STR("status")) && !str_eq(parts[2], STR("finalize")))
            parts += 2, n -= 2;
    }
    info->n_parts = n;
    info->resource = parts[0];
    info->name = n > 1 ? parts[1] : STR("");
    info->subresource = n > 2 ? parts[2] : STR("");
    if (n > 3)
        info->tail = str_of(parts[3].ptr - 1, (size_t)(tail.ptr + tail.len - parts[3].ptr) + 1);
    if (!info->name.len && str_eq(info->verb, STR("get"))) {
        info->verb = is_true(http_query(request, STR("watch"))) ? STR("watch") : STR("list");
        info->name = name_from_selector(request);
    }
    if (!info->name.len && str_eq(info->verb, STR("delete")))
        info->verb = STR("deletecollection");
}

int route_parse(HttpRequest *request, RequestInfo *ret) {
    *ret =
        (RequestInfo){.group = STR(""), .version = STR(""), .resource = STR(""), .name = STR("")};
    ret->subresource = ret->namespace_ = ret->tail = ret->prefix = STR("");
    ret->verb = lower(request->arena, request->method);
    if (http_percent_decode(request->arena, request->path, &ret->path) != 0)
        return -EINVAL;
    if (memchr(ret->path.ptr, 0, ret->path.len))
        return -EINVAL;
    Str parts[MAX_PARTS];
    size_t n = 0;
    Str rest = ret->path;
    while (rest.ptr && n < MAX_PARTS) {
        Str part = str_cut(&rest, '/');
        // Leading and trailing slashes don't count; an empty step in the middle does.
        if (part.len || (n > 0 && rest.ptr && rest.len))
            parts[n++] = part;
    }
    if (n < 3 || (!str_eq(parts[0], STR("api")) && !str_eq(parts[0], STR("apis"))))
        return 0;
    size_t skip = 1;
    if (str_eq(parts[0], STR("apis"))) {
        if (n < 4)
            return 0;
        ret->group = parts[skip++];
    }
    ret->prefix = parts[0];
    ret->version = parts[skip++];
    parse_resource(request, ret, parts + skip, n - skip, ret->path);
    return 0;
}

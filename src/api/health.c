// /healthz, /livez, /readyz and a path for each of their checks: the rules and the texts are those
// of upstream's pkg/server/healthz/healthz.go
// (https://kubernetes.io/docs/reference/using-api/health-checks/).

#include "api/nonresource.h"

typedef enum Where { LIVEZ = 1, HEALTHZ = 2, READYZ = 4, EVERYWHERE = 7 } Where;

static bool answers(const Api *api) {
    return true;
}

static bool follows_store(const Api *api) {
    return api->watch || !api->ready; // not yet is no failure
}

static bool has_started(const Api *api) {
    return api->ready;
}

static bool has_filled_caches(const Api *api) {
    return api->watch != NULL;
}

static bool stays_open(const Api *api) {
    return !api->closing;
}

// Probes and scripts know these names, so the store is "etcd", whatever it is.
static const struct {
    const char *name;
    unsigned where;
    bool (*passes)(const Api *api);
    const char *failure;
} checks[] = {
    {"ping", EVERYWHERE, answers, ""},
    {"etcd", EVERYWHERE, follows_store, "the store is not followed"},
    {"poststarthook/rbac/bootstrap-roles", HEALTHZ | READYZ, has_started, "not finished"},
    {"informer-sync", READYZ, has_filled_caches, "1 informers not started yet"},
    {"shutdown", HEALTHZ | READYZ, stays_open, "process is shutting down"},
};
enum { N_CHECKS = sizeof checks / sizeof *checks };

static bool contains(const Str *names, size_t n, Str name) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

static bool is_check(Str name, unsigned where) {
    for (size_t i = 0; i < N_CHECKS; i++)
        if ((checks[i].where & where) && str_eq(name, str_from(checks[i].name)))
            return true;
    return false;
}

// Line by line; false when one has failed.
static bool run_checks(const Api *api, unsigned where, const Str *excluded, size_t n, Buf *buf) {
    bool passed = true;
    for (size_t i = 0; i < N_CHECKS; i++) {
        if (!(checks[i].where & where))
            continue;
        if (contains(excluded, n, str_from(checks[i].name))) {
            buf_printf(buf, "[+]%s excluded: ok\n", checks[i].name);
        } else if (checks[i].passes(api)) {
            buf_printf(buf, "[+]%s ok\n", checks[i].name);
        } else {
            buf_printf(buf, "[-]%s failed: reason withheld\n", checks[i].name);
            passed = false;
        }
    }
    const char *before = "warn: some health checks cannot be excluded: no matches for ";
    const char *after = "";
    for (size_t i = 0; i < n; i++) {
        if (is_check(excluded[i], where) || contains(excluded, i, excluded[i]))
            continue;
        buf_printf(buf, "%s\"%.*s\"", before, STR_ARG(excluded[i]));
        before = ",";
        after = "\n";
    }
    buf_str(buf, str_from(after));
    return passed;
}

static void all_checks(ApiRequest *request, Str name, unsigned where) {
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    const Str *excluded;
    size_t n = http_query_all(request->http, STR("exclude"), &excluded);
    bool passed = run_checks(request->api, where, excluded, n, &buf);
    buf_printf(&buf, "%.*s check %s\n", STR_ARG(name), passed ? "passed" : "failed");
    if (passed && !http_query(request->http, STR("verbose")).ptr)
        request_text(request, 200, STR("ok"));
    else
        request_text(request, passed ? 200 : 500, buf_view(&buf));
}

static void one_check(ApiRequest *request, size_t i) {
    if (checks[i].passes(request->api))
        request_text(request, 200, STR("ok"));
    else
        request_text(
            request, 500,
            arena_printf(request->arena, "internal server error: %s\n", checks[i].failure));
}

bool health_handle(ApiRequest *request) {
    static const struct {
        Str name;
        unsigned where;
    } roots[] = {{STR("healthz"), HEALTHZ}, {STR("livez"), LIVEZ}, {STR("readyz"), READYZ}};
    Str path = request->info.path;
    Str rest = str_slice(path, path.len > 0, path.len), root = str_cut(&rest, '/');
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        if (!str_eq(root, roots[i].name))
            continue;
        if (!rest.len) {
            all_checks(request, root, roots[i].where);
            return true;
        }
        for (size_t j = 0; j < N_CHECKS; j++) {
            if ((checks[j].where & roots[i].where) && str_eq(rest, str_from(checks[j].name))) {
                one_check(request, j);
                return true;
            }
        }
    }
    return false;
}

// GET of one object, from the cache.

#include "api/output.h"
#include "api/scale.h"
#include "api/server.h"
#include "api/verbs.h"

static void respond(ApiRequest *request, void *user, int error) {
    if (error) {
        request_status(request, status_timeout(request->arena, STR("Too large resource version")));
        return;
    }
    CachedObject *object =
        cache_get(request->served->cache, request_namespace(request), request->info.name);
    const ScaleView *scale = scale_view(request);
    if (object && scale)
        request_object(request, 200, &scale->served,
                       scale_show(request->arena, scale,
                                  output_from_storage(request->arena, request->served,
                                                      object_decode(request->arena, object))));
    else if (object)
        request_cached(request, 200, object);
    else
        request_status(request, request_not_found(request, request->info.name));
}

void verb_get(ApiRequest *request) {
    Str version = http_query(request->http, STR("resourceVersion"));
    int64_t revision = 0;
    if (version.len && (str_to_i64(version, &revision) != 0 || revision < 0)) {
        request_status(
            request,
            status_bad_request(
                request->arena,
                arena_printf(request->arena,
                             "resourceVersion: Invalid value: \"%.*s\": strconv.ParseUint: "
                             "parsing \"%.*s\": invalid syntax",
                             STR_ARG(version), STR_ARG(version))));
        return;
    }
    request_wait_revision(request, revision, 3 * NSEC_PER_SEC, respond, NULL);
}

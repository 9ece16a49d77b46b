#pragma once
// What the query of a list, a watch or a deletion of a collection says (metav1.ListOptions),
// checked.

#include "api/cache.h"
#include "api/request.h"

typedef struct ListOptions {
    ObjectFilter filter;
    Str resource_version; // "" when not given
    int64_t revision;     // of it; 0 when not given or "0"
    bool exact;           // resourceVersionMatch=Exact
    int64_t limit;        // 0: all
    Str continue_token;
    bool bookmarks;          // allowWatchBookmarks
    bool initial_events;     // sendInitialEvents=true
    bool no_initial_events;  // sendInitialEvents=false
    int64_t timeout_seconds; // 0: not given
} ListOptions;

// NULL with *ret, or 400 / 422. `watch`: a watch's rules apply.
ApiStatus *list_options_parse(ApiRequest *request, bool watch, ListOptions *ret)
    __attribute__((warn_unused_result));

// 504: the revision is not there, and did not come in time.
ApiStatus *list_refuse_future(ApiRequest *request, int64_t revision);

// Continue tokens, in upstream's form (storage/continue.go): base64 of
// {"v":"meta.k8s.io/v1","rv":R,"start":"ns/name\0"}.
Str continue_encode(Arena *arena, int64_t revision, Str start);
// Returns NULL, or 400. *ret_revision is -1 for a token that asks for an inconsistent rest.
ApiStatus *continue_decode(Arena *arena, Str token, int64_t *ret_revision, Str *ret_start)
    __attribute__((warn_unused_result));

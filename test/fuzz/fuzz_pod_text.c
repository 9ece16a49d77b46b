#include <stdlib.h>

#include "node/environment.h"
#include "node/pod_files.h"
#include "node/termination.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(Str text, char c) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == c;
    return n;
}

// The first byte says what the rest is: a value with $(VAR), the node's resolv.conf, or the end of
// a container's log.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const RuntimePair env[] = {{{"A", 1}, {"value", 5}}, {{"B", 1}, {"", 0}}};
    if (!size || size > 16 * 1024)
        return 0;
    _arena_free_ Arena *arena = arena_new();
    Str text = str_of(data + 1, size - 1), result, warning;
    Pod pod = {.spec = {.dns_policy = STR("ClusterFirst")},
               .metadata = {.name = STR("p"), .namespace = STR("n")}};
    switch (data[0] % 3) {
    case 0:
        result = environment_expand(arena, text, env, 2);
        if (!count(text, '$'))
            must(str_eq(result, text));
        must(result.len <= text.len * 2 && count(result, '$') <= count(text, '$'));
        break;
    case 1:
        result = pod_resolv_text(arena, &pod, STR_NONE, STR("cluster.local"), text, &warning);
        must(count(result, '\n') <= 1 + 3 + 1); // search, nameservers, options
        result =
            pod_resolv_text(arena, &pod, STR("10.43.0.10"), STR("cluster.local"), text, &warning);
        must(str_starts_with(result, STR("search n.svc.cluster.local svc.cluster.local ")));
        break;
    default:
        result = termination_log_text(arena, text);
        must(result.len <= 3 * 2048 && count(result, '\n') <= 80);
    }
    return 0;
}

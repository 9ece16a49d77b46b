// ComponentStatus: made up when it is asked for. Of upstream's three (scheduler,
// controller-manager, etcd-0) only the store is told: it is the server's own, and without it there
// would be no answer.

#include "api/output.h"
#include "api/server.h"
#include "api/subresources.h"

#define STORE_NAME "etcd-0"
#define DEPRECATED STR("v1 ComponentStatus is deprecated in v1.19+")

static Value *store_status(Arena *arena) {
    Value *object = value_new_object(arena), *condition = value_new_object(arena),
          *conditions = value_new_array(arena);
    value_set_str(arena, object, STR("kind"), STR("ComponentStatus"));
    value_set_str(arena, object, STR("apiVersion"), STR("v1"));
    value_set_str(arena, value_at_make(arena, object, "metadata"), STR("name"), STR(STORE_NAME));
    value_set_str(arena, condition, STR("type"), STR("Healthy"));
    value_set_str(arena, condition, STR("status"), STR("True"));
    value_set_str(arena, condition, STR("message"), STR("ok"));
    value_push(arena, conditions, condition);
    value_set(arena, object, STR("conditions"), conditions);
    return object;
}

void component_status_get(ApiRequest *request) {
    request_warn(request, DEPRECATED);
    if (str_eq(request->info.name, STR(STORE_NAME)))
        request_object(request, 200, request->served, store_status(request->arena));
    else
        request_status(request, request_not_found(request, request->info.name));
}

void component_status_list(ApiRequest *request) {
    Arena *arena = request->arena;
    const Value *item = store_status(arena);
    request_warn(request, DEPRECATED);
    if (request->output.kind == OUTPUT_TABLE) {
        request_object(request, 200, NULL,
                       output_table(request, arena, request->served, &item, 1, NULL, true));
        return;
    }
    Value *list = value_new_object(arena), *items = value_new_array(arena);
    bool whole = request->output.kind == OUTPUT_OBJECT;
    value_set_str(arena, list, STR("kind"),
                  whole ? STR("ComponentStatusList") : STR("PartialObjectMetadataList"));
    value_set_str(arena, list, STR("apiVersion"), whole ? STR("v1") : STR("meta.k8s.io/v1"));
    value_set(arena, list, STR("metadata"), value_new_object(arena));
    value_push(arena, items,
               whole ? (Value *)item : output_partial(arena, request->output.version, item));
    value_set(arena, list, STR("items"), items);
    request_object(request, 200, NULL, list);
}

#include "api/admission/quota_book.h"

#include <stdlib.h>

#include "api/output.h"
#include "api/server.h"
#include "api/write.h"
#include "base/map.h"
#include "base/memory.h"

#define MOST_CONFLICTS 20 // in a row
#define AFTER_CONFLICT (2 * NSEC_PER_MSEC)

typedef struct Ledger { // of one quota, while it is being charged
    Api *api;
    Str key; // "namespace/name"
    List waiting, written; // QuotaCharges
    LoopTimer timer;
    bool writing;
    int conflicts;
    char text[];
} Ledger;

struct QuotaBook {
    Map *ledgers;
};

void quota_book_init(Api *api) {
    api->quota_book = memory_new(QuotaBook);
    api->quota_book->ledgers = map_new();
}

static void ledger_clear(Ledger *ledger) {
    QuotaCharge *charge;
    list_for_each(charge, &ledger->waiting, link) list_remove(&charge->link);
    list_for_each(charge, &ledger->written, link) list_remove(&charge->link);
    loop_timer_stop(&ledger->timer);
}

void quota_book_free(Api *api) {
    QuotaBook *book = api->quota_book;
    if (!book)
        return;
    MapIter it = {0};
    while (map_next(book->ledgers, &it)) {
        Ledger *ledger = it.value;
        ledger_clear(ledger);
        if (ledger->writing)
            ledger->api = NULL; // freed when the store has answered
        else
            free(ledger);
    }
    map_free(book->ledgers);
    free(book);
    api->quota_book = NULL;
}

// ---- whether it fits

static void mask(Arena *arena, const ResourceAmounts *amounts, const ResourceAmounts *only,
                 ResourceAmounts *ret) {
    *ret = (ResourceAmounts){arena_array_of(arena, ResourceAmount, amounts->n + 1), 0};
    for (size_t i = 0; i < amounts->n; i++) {
        Quantity ignored;
        if (resource_amounts_get(only, amounts->items[i].name, &ignored))
            ret->items[ret->n++] = amounts->items[i];
    }
}

static ApiStatus *exceeded(const Admission *admission, Str quota, const ResourceAmounts *over,
                           const ResourceAmounts *requested, const ResourceAmounts *used,
                           const ResourceAmounts *hard) {
    Arena *arena = admission->request->arena;
    const ResourceAmounts *lists[] = {requested, used, hard};
    Str texts[3];
    for (size_t i = 0; i < 3; i++) {
        ResourceAmounts masked;
        mask(arena, lists[i], over, &masked);
        texts[i] = quota_amounts_text(arena, &masked);
    }
    return admission_forbidden(
        admission,
        arena_printf(arena, "exceeded quota: %.*s, requested: %.*s, used: %.*s, limited: %.*s",
                     STR_ARG(quota), STR_ARG(texts[0]), STR_ARG(texts[1]), STR_ARG(texts[2])));
}

ApiStatus *quota_check(const Admission *admission, Str quota, const Value *status,
                       const ResourceAmounts *amount, ResourceAmounts *used) {
    Arena *arena = admission->request->arena;
    ResourceAmounts hard = quota_amounts(arena, value_get(status, STR("hard")));
    ResourceAmounts before = used ? *used : quota_amounts(arena, value_get(status, STR("used")));
    ResourceAmounts requested, over;
    mask(arena, amount, &hard, &requested);
    mask(arena, &requested, &hard, &over);
    size_t n = 0;
    for (size_t i = 0; i < requested.n; i++) {
        Quantity limit, now;
        resource_amounts_get(&hard, requested.items[i].name, &limit);
        resource_amounts_get(&before, requested.items[i].name, &now);
        if (quantity_cmp(quantity_add(now, requested.items[i].quantity), limit) > 0)
            over.items[n++] = requested.items[i];
    }
    over.n = n;
    if (n)
        return exceeded(admission, quota, &over, &requested, &before, &hard);
    if (used)
        quota_amounts_add(arena, used, &requested);
    return NULL;
}

// ---- charging

// `failed`: none of them was charged.
static void settle(List *charges, bool failed) {
    while (!list_is_empty(charges)) {
        QuotaCharge *charge = container_of(list_first(charges), QuotaCharge, link);
        list_remove(&charge->link);
        charge->done(charge, failed ? status_internal(charge->admission->request->arena,
                                                      STR("resource quota could not be charged"))
                                    : NULL);
    }
}

static void finish(Ledger *ledger, int64_t delay_ns) {
    if (!list_is_empty(&ledger->waiting)) {
        loop_timer_start(&ledger->timer, delay_ns);
        return;
    }
    map_remove(ledger->api->quota_book->ledgers, ledger->key);
    ledger_clear(ledger);
    free(ledger);
}

static void stored(void *user, int error, const StoreResult *result) {
    Ledger *ledger = user;
    ledger->writing = false;
    if (!ledger->api) { // the server is gone, and every request with it
        free(ledger);
        return;
    }
    bool again = error == STORE_E_CONFLICT && ++ledger->conflicts < MOST_CONFLICTS;
    if (again) { // the controller was faster, or another server: once more, in the same order
        while (!list_is_empty(&ledger->written)) {
            ListLink *link = ledger->written.head.prev;
            list_remove(link);
            list_prepend(&ledger->waiting, link);
        }
    } else {
        ledger->conflicts = 0;
        settle(&ledger->written, error != 0);
    }
    finish(ledger, again ? AFTER_CONFLICT : 0);
}

static void write_down(Ledger *ledger, CachedObject *current, Value *quota, Arena *arena,
                  const ResourceAmounts *used) {
    Api *api = ledger->api;
    const ServedResource *served =
        registry_find(api->registry, STR(""), STR("v1"), STR("resourcequotas"));
    value_set(arena, value_at_make(arena, quota, "status"), STR("used"),
              quota_amounts_value(arena, used));
    _bytes_unref_ Bytes *bytes = object_encode(served->storage, quota);
    Str key = write_key(arena, served, current->namespace_, current->name);
    ledger->writing = true;
    store_put(api->store, key, bytes, current->revision, 0, stored, ledger);
}

// Takes what waits: refuses what does not fit, and writes down the rest.
static void work(void *user) {
    Ledger *ledger = user;
    Api *api = ledger->api;
    Str namespace_, name = ledger->key;
    namespace_ = str_cut(&name, '/');
    CachedObject *current =
        cache_get(registry_cache(api->registry, STR("core/resourcequotas")), namespace_, name);
    if (!current) { // it limits nothing any more
        settle(&ledger->waiting, false);
        finish(ledger, 0);
        return;
    }
    _arena_free_ Arena *arena = arena_new();
    Value *quota = object_decode(arena, current);
    const Value *status = value_get(quota, STR("status"));
    ResourceAmounts used = quota_amounts(arena, value_get(status, STR("used")));
    List refused;
    list_init(&refused);
    while (!list_is_empty(&ledger->waiting)) {
        QuotaCharge *charge = container_of(list_first(&ledger->waiting), QuotaCharge, link);
        ResourceAmounts with = {arena_array_of(arena, ResourceAmount, used.n + charge->amount.n),
                                0};
        quota_amounts_add(arena, &with, &used);
        ApiStatus *refusal =
            quota_check(charge->admission, name, status, &charge->amount, &with);
        list_remove(&charge->link);
        if (refusal) {
            charge->done(charge, refusal);
            continue;
        }
        list_append(&ledger->written, &charge->link);
        used = with;
    }
    if (list_is_empty(&ledger->written))
        finish(ledger, 0);
    else
        write_down(ledger, current, quota, arena, &used);
}

static void forget(void *user) {
    list_remove(&((QuotaCharge *)user)->link);
}

void quota_charge(QuotaCharge *charge) {
    ApiRequest *request = charge->admission->request;
    Api *api = request->api;
    Str key = arena_printf(request->arena, "%.*s/%.*s", STR_ARG(charge->namespace_),
                           STR_ARG(charge->name));
    Ledger *ledger = map_get(api->quota_book->ledgers, key);
    if (!ledger) {
        ledger = memory_zalloc(sizeof *ledger + key.len);
        ledger->api = api;
        memcpy(ledger->text, key.ptr, key.len);
        ledger->key = str_of(ledger->text, key.len);
        list_init(&ledger->waiting);
        list_init(&ledger->written);
        loop_timer_init(&ledger->timer, api->loop, work, ledger);
        map_put(api->quota_book->ledgers, ledger->key, ledger);
    }
    list_append(&ledger->waiting, &charge->link);
    arena_defer(request->arena, forget, charge);
    if (!ledger->writing && !loop_timer_is_running(&ledger->timer))
        loop_timer_start(&ledger->timer, 0);
}

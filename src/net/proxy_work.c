#include "net/proxy_work.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

#define BATCH_OPS 8192 // elements of one transaction: some 700 KiB

// ---- the difference of two lists

static bool is_full(size_t n) { // arrays grow at powers of two
    return (n & (n - 1)) == 0;
}

void proxy_work_add_op(ProxyWork *work, bool add, const ProxyElement *element) {
    if (work->n_ops == work->ops_capacity) {
        size_t size = work->ops_capacity * sizeof *work->ops;
        work->ops_capacity = work->ops_capacity ? 2 * work->ops_capacity : 16;
        work->ops =
            arena_grow(work->arena, work->ops, size, work->ops_capacity * sizeof *work->ops);
    }
    work->ops[work->n_ops++] = (ProxyOp){add, *element};
}

// The first element of the list that is not before `key`.
static size_t lower_bound(const ProxyElements *list, const ProxyElement *key) {
    size_t low = 0, high = list->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (proxy_element_compare_key(&list->items[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// Under another index it may still be an endpoint.
static const ProxyElement *find_again(const ProxyElements *now, const ProxyElement *gone) {
    ProxyElement key = *gone;
    key.index = gone->index & PROXY_LOCAL_BASE;
    for (size_t i = lower_bound(now, &key); i < now->n; i++) {
        const ProxyElement *e = &now->items[i];
        if (e->set != gone->set || e->address != gone->address || e->protocol != gone->protocol ||
            e->port != gone->port || (e->index & PROXY_LOCAL_BASE) != key.index)
            return NULL;
        if (e->to_address == gone->to_address && e->to_port == gone->to_port)
            return e;
    }
    return NULL;
}

static bool is_sticky(const ProxyElements *before, const ProxyElement *endpoint) {
    ProxyElement key = {.set = endpoint->address ? PROXY_SERVICES : PROXY_NODE_PORTS,
                        .address = endpoint->address,
                        .protocol = endpoint->protocol,
                        .port = endpoint->port};
    size_t at = lower_bound(before, &key);
    return at < before->n && proxy_element_compare_key(&before->items[at], &key) == 0 &&
           before->items[at].chain.affinity;
}

static void add_stale(ProxyWork *work, const ProxyElement *e) {
    size_t size = work->n_stale * sizeof *work->stale;
    if (is_full(work->n_stale))
        work->stale =
            arena_grow(work->arena, work->stale, size, size ? 2 * size : sizeof *work->stale);
    work->stale[work->n_stale++] = (ConntrackStale){
        .address = e->address, .port = e->port, .to_address = e->to_address, .to_port = e->to_port};
}

static void add_move(ProxyWork *work, const ProxyElement *from, const ProxyElement *to) {
    size_t size = work->n_moves * sizeof *work->moves;
    if (is_full(work->n_moves))
        work->moves =
            arena_grow(work->arena, work->moves, size, size ? 2 * size : sizeof *work->moves);
    work->moves[work->n_moves++] = (ProxyMove){.address = from->address,
                                               .port = from->port,
                                               .protocol = from->protocol,
                                               .from = from->index,
                                               .goes_on = to != NULL,
                                               .to = to ? to->index : 0};
}

static void note_gone(ProxyWork *work, const ProxyElement *gone, const ProxyElements *before,
                      const ProxyElements *now) {
    if (gone->set != PROXY_ENDPOINTS)
        return;
    const ProxyElement *again = find_again(now, gone);
    if (!again && gone->protocol == NET_UDP)
        add_stale(work, gone);
    if (is_sticky(before, gone))
        add_move(work, gone, again);
}

static void note_come(ProxyWork *work, const ProxyElement *come) {
    bool frontend = come->set == PROXY_SERVICES || come->set == PROXY_NODE_PORTS;
    if (frontend && come->protocol == NET_UDP)
        add_stale(work, come);
}

void proxy_work_add_difference(ProxyWork *work, const ProxyElements *before,
                               const ProxyElements *now, bool details) {
    size_t i = 0, j = 0;
    while (i < before->n || j < now->n) {
        const ProxyElement *old = i < before->n ? &before->items[i] : NULL;
        const ProxyElement *new = j < now->n ? &now->items[j] : NULL;
        int order = !old ? 1 : !new ? -1 : proxy_element_compare_key(old, new);
        bool same = order == 0 && proxy_element_same_value(old, new);
        if (order <= 0 && !same) {
            proxy_work_add_op(work, false, old);
            if (details)
                note_gone(work, old, before, now);
        }
        if (order >= 0 && !same) {
            proxy_work_add_op(work, true, new);
            if (details && order > 0)
                note_come(work, new);
        }
        i += order <= 0;
        j += order >= 0;
    }
}

// ---- on the worker

static bool chain_exists(void *user, const char *name) {
    return map_get(user, str_from(name)) != NULL;
}

static void chain_made(void *user, const char *name) {
    static char yes;
    map_put(user, str_from(name), &yes);
}

static void need_chain(ProxyWork *work, NftBatch *batch, const ProxyOp *op) {
    const ProxyChains chains = {chain_exists, chain_made, work->chains};
    if (op->add && (op->element.set == PROXY_SERVICES || op->element.set == PROXY_NODE_PORTS))
        proxy_chain_build(batch, work->rules, &op->element.chain, &chains);
}

static void clear_chains(ProxyWork *work) {
    MapIter iter = {0};
    while (map_next(work->chains, &iter))
        map_remove(work->chains, iter.key);
}

void proxy_work_dump(ProxyWork *work) {
    work->error = proxy_dump(work->arena, work->netlink, work->rules, &work->dump);
    clear_chains(work);
    for (size_t i = 0; i < work->dump.n_chains; i++)
        chain_made(work->chains, work->dump.chains[i]);
}

// An element that changes goes and comes: in one transaction.
static bool is_split(const ProxyWork *work, size_t at) {
    const ProxyOp *last = &work->ops[at - 1], *next = &work->ops[at];
    return !last->add && next->add &&
           proxy_element_compare_key(&last->element, &next->element) == 0;
}

static int commit_ops(ProxyWork *work, NftBatch *batch) {
    size_t at = 0;
    int error = 0;
    do {
        size_t end = at;
        while (end < work->n_ops && end - at < BATCH_OPS)
            end++;
        if (end < work->n_ops && is_split(work, end))
            end++;
        for (size_t i = at; i < end; i++)
            need_chain(work, batch, &work->ops[i]);
        // What goes goes first: of two ranges that overlap only one can be there.
        for (int add = 0; add < 2; add++)
            for (size_t i = at; i < end; i++)
                if (work->ops[i].add == (bool)add)
                    proxy_element_put(batch, work->rules, add, &work->ops[i].element);
        at = end;
        error = nft_batch_commit(batch, work->netlink);
    } while (!error && at < work->n_ops);
    return error;
}

static void settle_clients(ProxyWork *work) {
    int error = work->n_moves
                    ? proxy_move_clients(work->netlink, work->rules, work->moves, work->n_moves)
                    : 0;
    if (error)
        log_warn("net", "cannot bring session affinity up to date", "error=\"%s\"",
                 strerrordesc_np(-error));
    error = work->n_stale ? conntrack_forget(work->stale, work->n_stale) : 0;
    if (error)
        log_warn("net", "cannot forget UDP connections", "error=\"%s\"", strerrordesc_np(-error));
}

void proxy_work_commit(ProxyWork *work) {
    NftBatch batch;
    nft_batch_init(&batch);
    if (work->rebuild) {
        clear_chains(work);
        proxy_rules_build(&batch, work->rules);
    }
    work->error = commit_ops(work, &batch);
    nft_batch_deinit(&batch);
    if (!work->error)
        settle_clients(work);
}

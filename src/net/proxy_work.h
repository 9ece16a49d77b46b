#pragma once
// What the proxy has done on a worker thread: one piece of work at a time.

#include "net/conntrack.h"
#include "net/proxy_rules.h"

#include "base/map.h"

typedef struct ProxyOp {
    bool add;
    ProxyElement element;
} ProxyOp;

typedef struct ProxyWork {
    Arena *arena; // of everything below
    const ProxyRules *rules;
    Netlink *netlink;
    Map *chains; // names of those that exist; the worker's alone while it works
    // In: how far to go.
    bool rebuild; // first make the table anew
    ProxyOp *ops;
    size_t n_ops, ops_capacity;
    ProxyMove *moves;
    size_t n_moves;
    ConntrackStale *stale;
    size_t n_stale;
    // Out.
    int error;
    ProxyDump dump;
} ProxyWork;

void proxy_work_dump(ProxyWork *work);
void proxy_work_commit(ProxyWork *work);
// Appends what leads from one sorted list to the other. With `details`: also who has to be
// forgotten.
void proxy_work_add_difference(ProxyWork *work, const ProxyElements *before,
                               const ProxyElements *now, bool details);
void proxy_work_add_op(ProxyWork *work, bool add, const ProxyElement *element);

#pragma once
// What gives a sandbox its network: an interface of methods, so that node and net need not know
// each other (cmd wires net/podnet to it). Callbacks come on the loop, never from inside the call.

#include <stdbool.h>

#include "base/loop.h"
#include "base/str.h"

typedef struct NodeNetwork NodeNetwork;

typedef struct NetworkAttachment {
    Str sandbox_id;        // the key under which the address is remembered
    Str network_namespace; // path of the bind-mounted namespace (Sandbox.network_namespace)
    Str pod_uid, pod_name, pod_namespace;
} NetworkAttachment;

// error: 0 or negative errno; `message` is for the FailedCreatePodSandBox event. `ip` as
// status.podIP says it ("10.42.0.7"), "" on failure.
typedef void (*NetworkAttached)(void *user, int error, Str message, Str ip);
typedef void (*NetworkDetached)(void *user, int error, Str message);

typedef struct NodeNetworkOps {
    // Makes eth0 with an address and a default route in the namespace. For a sandbox that is
    // already attached it repairs what is missing and gives the same address again.
    void (*attach)(NodeNetwork *network, const NetworkAttachment *attachment, NetworkAttached done,
                   void *user);
    // Gives the address back and removes the interface. Fine when there is none.
    void (*detach)(NodeNetwork *network, Str sandbox_id, NetworkDetached done, void *user);
    // The address of an attached sandbox (also after our restart), STR_NONE when it has none. Valid
    // until the sandbox is detached.
    Str (*address)(NodeNetwork *network, Str sandbox_id);
    // Detaches every sandbox that is not in `ids`: called once after runtime recovery.
    void (*retain)(NodeNetwork *network, const Str *ids, size_t n_ids);
    // False while pods cannot be attached; *ret_message then says why (NetworkReady condition).
    bool (*ready)(NodeNetwork *network, Str *ret_message);
} NodeNetworkOps;

struct NodeNetwork { // first member of every implementation
    const NodeNetworkOps *ops;
};

// Without networking (simulation): hands out 10.42.0.2, .3, ... and touches nothing.
NodeNetwork *network_fake_new(Loop *loop);
void network_fake_free(NodeNetwork *network);

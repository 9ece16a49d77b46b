#include "cmd/pod_network.h"

#include <stdlib.h>

#include "base/memory.h"

typedef struct PodNetwork {
    NodeNetwork base;
    Podnet *podnet;
} PodNetwork;

static Podnet *podnet_of(NodeNetwork *network) {
    return container_of(network, PodNetwork, base)->podnet;
}

static void attach(NodeNetwork *network, const NetworkAttachment *attachment, NetworkAttached done,
                   void *user) {
    podnet_attach(podnet_of(network), attachment->sandbox_id, attachment->network_namespace, done,
                  user);
}

static void detach(NodeNetwork *network, Str sandbox_id, NetworkDetached done, void *user) {
    podnet_detach(podnet_of(network), sandbox_id, done, user);
}

static Str address(NodeNetwork *network, Str sandbox_id) {
    return podnet_address(podnet_of(network), sandbox_id);
}

static void retain(NodeNetwork *network, const Str *ids, size_t n_ids) {
    podnet_retain(podnet_of(network), ids, n_ids);
}

static bool ready(NodeNetwork *network, Str *ret_message) {
    *ret_message = STR(""); // pod_network_new() fails otherwise
    return true;
}

static const NodeNetworkOps ops = {
    .attach = attach, .detach = detach, .address = address, .retain = retain, .ready = ready};

int pod_network_new(const PodnetConfig *config, NodeNetwork **ret, char **ret_message) {
    Podnet *podnet;
    int error = podnet_new(config, &podnet, ret_message);
    if (error)
        return error;
    PodNetwork *network = memory_new(PodNetwork);
    *network = (PodNetwork){.base = {.ops = &ops}, .podnet = podnet};
    *ret = &network->base;
    return 0;
}

void pod_network_free(NodeNetwork *network) {
    podnet_free(podnet_of(network));
    free(container_of(network, PodNetwork, base));
}

#include "net/podnet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "net/firewall.h"
#include "net/ipam.h"
#include "net/podnet_link.h"
#include "net/ruleset_watch.h"

#define FORWARD_SETTLE_NS (200 * NSEC_PER_MSEC) // another firewall writes its rules one by one

struct Podnet {
    Loop *loop;
    Arena *arena;
    BridgeConfig bridge;
    FirewallConfig firewall;
    uint32_t mtu;
    Ipam *ipam;
    Map *addresses; // char *, by sandbox
    char gateway[IPAM_TEXT];
    int watch_fd;
    LoopFd *watch;
    RulesetWatch *table_watch;
    LoopTimer forward_timer;
    size_t busy;   // jobs on worker threads
    bool sweeping; // the bridge: new links wait, lest they be taken for left over ones
    List waiting;  // PodnetJob, for the sweep
    bool freed;
};

// ---- jobs on worker threads; each has its own copies of all it reads

typedef struct PodnetJob PodnetJob;
struct PodnetJob {
    ListLink link;
    Podnet *podnet;
    Arena *arena;
    void (*work)(PodnetJob *job);
    void (*done)(PodnetJob *job);
    int error;
    Str message;
};

static void podnet_destroy(Podnet *podnet) {
    arena_free(podnet->arena);
    free(podnet);
}

static void *job_new(Podnet *podnet, size_t size, void (*work)(PodnetJob *),
                     void (*done)(PodnetJob *)) {
    Arena *arena = arena_new();
    PodnetJob *job = arena_zalloc(arena, size);
    *job = (PodnetJob){
        .podnet = podnet, .arena = arena, .work = work, .done = done, .message = STR("")};
    return job;
}

static void job_work(void *user) {
    PodnetJob *job = user;
    job->work(job);
}

static void job_done(void *user) {
    PodnetJob *job = user;
    Podnet *podnet = job->podnet;
    podnet->busy--;
    if (!podnet->freed)
        job->done(job);
    else if (podnet->busy == 0)
        podnet_destroy(podnet);
    arena_free(job->arena);
}

static void job_start(PodnetJob *job) {
    job->podnet->busy++;
    loop_work(job->podnet->loop, job_work, job_done, job);
}

// ---- setting up

// "OPERATION: what errno means", malloc'ed.
static int fail(int error, char **ret_message, const char *format, const char *a, const char *b) {
    char text[512];
    snprintf(text, sizeof text, format, a, b);
    *ret_message = strdup(text);
    return error;
}

static int enable_forwarding(void) {
    static const char path[] = "/proc/sys/net/ipv4/ip_forward";
    char value = '0';
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    // Only when needed: writing it resets per-interface settings.
    int error = read(fd, &value, 1) < 0 ? -errno : 0;
    if (!error && value != '1' && pwrite(fd, "1\n", 2, 0) < 0)
        error = -errno;
    close(fd);
    return error;
}

static void load_address(void *user, Str owner, uint32_t address) {
    Podnet *podnet = user;
    char *text = memory_alloc(IPAM_TEXT);
    ipv4_format(address, text);
    map_put(podnet->addresses, owner, text);
}

static int parse_services(const PodnetConfig *config, BridgeConfig *ret, char **ret_message) {
    *ret = (BridgeConfig){0};
    if (config->service_range &&
        (ipv4_range_parse(str_from(config->service_range), &ret->services) ||
         ret->services.prefix < 8 || ret->services.prefix > 30))
        return fail(-EINVAL, ret_message, "%s is no range for services%s", config->service_range,
                    "");
    if (config->dns && ipv4_parse(str_from(config->dns), &ret->dns))
        return fail(-EINVAL, ret_message, "%s is no address%s", config->dns, "");
    return 0;
}

static int parse_ranges(const PodnetConfig *config, FirewallConfig *ret, char **ret_message) {
    *ret = (FirewallConfig){.table = config->table, .bridge = config->bridge};
    if (ipv4_range_parse(str_from(config->pod_range), &ret->pods) || ret->pods.prefix < 16 ||
        ret->pods.prefix > 30)
        return fail(-EINVAL, ret_message, "%s is no range for pods%s", config->pod_range, "");
    if (ipv4_range_parse(str_from(config->cluster_range), &ret->cluster))
        return fail(-EINVAL, ret_message, "%s is no range of addresses%s", config->cluster_range,
                    "");
    size_t len = strlen(config->bridge);
    if (len == 0 || len >= PODNET_LINK_NAME)
        return fail(-EINVAL, ret_message, "%s is no name for a bridge%s", config->bridge, "");
    return 0;
}

static int make_network(Podnet *podnet, char **ret_message) {
    char other[PODNET_LINK_NAME];
    uint32_t index;
    char services[IPAM_TEXT];
    Str range = arena_printf(podnet->arena, "%s/%u", podnet->gateway, podnet->bridge.range.prefix);
    if (podnet->bridge.services.prefix) {
        ipv4_format(podnet->bridge.services.network, services);
        range = arena_printf(podnet->arena, "%.*s, or that of services, %s/%u,", STR_ARG(range),
                             services, podnet->bridge.services.prefix);
    }
    int error = bridge_ensure(&podnet->bridge, &index, &podnet->mtu, other);
    if (error == -EADDRINUSE)
        return fail(error, ret_message, "the pod network's %s is in use on %s", range.ptr, other);
    if (error)
        return fail(error, ret_message, "cannot make the bridge %s: %s", podnet->bridge.name,
                    strerrordesc_np(-error));
    error = enable_forwarding();
    if (error)
        return fail(error, ret_message, "cannot switch on ip_forward: %s%s",
                    strerrordesc_np(-error), "");
    error = firewall_install(&podnet->firewall);
    if (error)
        return fail(error, ret_message, "cannot make the nftables table %s: %s",
                    podnet->firewall.table, strerrordesc_np(-error));
    error = firewall_open_forward(podnet->bridge.name);
    if (error) // pods reach each other all the same
        log_warn("net", "cannot add to iptables' FORWARD chain", "error=\"%s\"",
                 strerrordesc_np(-error));
    return 0;
}

typedef struct ForwardJob {
    PodnetJob job;
    const char *bridge;
} ForwardJob;

static void forward_work(PodnetJob *job) {
    job->error = firewall_open_forward(((ForwardJob *)job)->bridge);
}

static void forward_done(PodnetJob *job) {
    if (job->error)
        log_warn("net", "cannot add to iptables' FORWARD chain", "error=\"%s\"",
                 strerrordesc_np(-job->error));
}

static void on_forward_timer(void *user) {
    Podnet *podnet = user;
    ForwardJob *forward = job_new(podnet, sizeof *forward, forward_work, forward_done);
    forward->bridge = arena_cstr(forward->job.arena, str_from(podnet->bridge.name));
    job_start(&forward->job);
}

typedef struct RestoreJob {
    PodnetJob job;
    FirewallConfig firewall;
} RestoreJob;

static void restore_work(PodnetJob *job) {
    job->error = firewall_restore(&((RestoreJob *)job)->firewall);
}

static void restore_done(PodnetJob *job) {
    if (job->error)
        log_warn("net", "cannot put back the pod network's rules", "error=\"%s\"",
                 strerrordesc_np(-job->error));
}

static void on_table_change(void *user) {
    Podnet *podnet = user;
    RestoreJob *restore = job_new(podnet, sizeof *restore, restore_work, restore_done);
    restore->firewall = podnet->firewall;
    restore->firewall.table = arena_cstr(restore->job.arena, str_from(podnet->firewall.table));
    job_start(&restore->job);
}

static void on_ruleset_change(void *user, int events) {
    Podnet *podnet = user;
    if (firewall_watch_read(podnet->watch_fd))
        loop_timer_start(&podnet->forward_timer, FORWARD_SETTLE_NS);
}

static void watch_ruleset(Podnet *podnet) {
    podnet->table_watch =
        ruleset_watch_new(podnet->loop, podnet->firewall.table, 0, on_table_change, podnet);
    podnet->watch_fd = firewall_watch_open();
    if (podnet->watch_fd < 0)
        return; // then a firewall that comes later has to be told of us by its owner
    podnet->watch = loop_fd_new(podnet->loop, podnet->watch_fd, on_ruleset_change, podnet);
    loop_fd_want(podnet->watch, LOOP_READ);
}

int podnet_new(const PodnetConfig *config, Podnet **ret, char **ret_message) {
    FirewallConfig firewall;
    *ret_message = NULL;
    BridgeConfig services;
    int error = parse_ranges(config, &firewall, ret_message);
    if (!error)
        error = parse_services(config, &services, ret_message);
    if (error)
        return error;
    Podnet *podnet = memory_new(Podnet);
    Arena *arena = podnet->arena = arena_new();
    podnet->loop = config->loop;
    podnet->watch_fd = -1;
    podnet->addresses = map_new();
    list_init(&podnet->waiting);
    loop_timer_init(&podnet->forward_timer, config->loop, on_forward_timer, podnet);
    firewall.bridge = arena_cstr(arena, str_from(config->bridge));
    firewall.table = arena_cstr(arena, str_from(config->table));
    podnet->firewall = firewall;
    podnet->bridge = (BridgeConfig){.name = firewall.bridge,
                                    .range = firewall.pods,
                                    .gateway = firewall.pods.network + 1,
                                    .services = services.services,
                                    .dns = services.dns,
                                    .mtu = (uint32_t)config->mtu};
    ipv4_format(podnet->bridge.gateway, podnet->gateway);
    error = ipam_new(firewall.pods, config->directory, &podnet->ipam);
    if (error) {
        podnet->ipam = NULL;
        fail(error, ret_message, "cannot use %s: %s", config->directory, strerrordesc_np(-error));
    } else {
        error = make_network(podnet, ret_message);
    }
    if (error) {
        podnet_free(podnet);
        return error;
    }
    ipam_each(podnet->ipam, load_address, podnet);
    watch_ruleset(podnet);
    *ret = podnet;
    return 0;
}

void podnet_free(Podnet *podnet) {
    loop_timer_stop(&podnet->forward_timer);
    loop_fd_free(podnet->watch);
    ruleset_watch_free(podnet->table_watch);
    if (podnet->watch_fd >= 0)
        close(podnet->watch_fd);
    PodnetJob *job;
    list_for_each(job, &podnet->waiting, link) arena_free(job->arena);
    MapIter it = {0};
    while (map_next(podnet->addresses, &it))
        free(it.value);
    map_free(podnet->addresses);
    ipam_free(podnet->ipam);
    podnet->freed = true;
    if (podnet->busy == 0)
        podnet_destroy(podnet);
}

static void remove_link(void *user, Str owner, uint32_t address) {
    char name[PODNET_LINK_NAME];
    podnet_link_name(owner, name);
    (void)!pod_link_remove(name);
}

int podnet_cleanup(const PodnetConfig *config, char **ret_message) {
    FirewallConfig firewall;
    Ipam *ipam;
    *ret_message = NULL;
    int result = parse_ranges(config, &firewall, ret_message);
    if (result)
        return result;
    // Through ipam, so that only what is an allocation goes. First the links that it knows: they
    // may not be ports of the bridge any more.
    bool known = access(config->directory, F_OK) == 0 &&
                 ipam_new(firewall.pods, config->directory, &ipam) == 0;
    if (known) {
        ipam_each(ipam, remove_link, NULL);
        ipam_clear(ipam);
        ipam_free(ipam);
        (void)rmdir(config->directory);
    }
    int error = bridge_remove(config->bridge);
    if (error)
        result = fail(error, ret_message, "cannot remove the bridge %s: %s", config->bridge,
                      strerrordesc_np(-error));
    error = firewall_remove(&firewall);
    if (error && !result)
        result = fail(error, ret_message, "cannot remove the nftables table %s: %s", config->table,
                      strerrordesc_np(-error));
    return result;
}

// ---- attach

typedef struct AttachJob {
    PodnetJob job;
    Str id;
    PodLink link;
    BridgeConfig bridge;
    bool is_new; // its address: given back when attaching fails
    void (*done)(void *user, int error, Str message, Str ip);
    void *user;
} AttachJob;

static void attach_work(PodnetJob *job) {
    AttachJob *attach = (AttachJob *)job;
    const char *step;
    uint32_t index, mtu;
    char other[PODNET_LINK_NAME];
    if (job->error)
        return;
    job->error = pod_link_ensure(&attach->link, &step);
    if (job->error == -ENODEV && bridge_ensure(&attach->bridge, &index, &mtu, other) == 0)
        job->error = pod_link_ensure(&attach->link, &step); // somebody deleted the bridge
    if (!job->error)
        return;
    job->message = arena_printf(job->arena, "cannot %s: %s", step, strerrordesc_np(-job->error));
    if (attach->is_new)
        (void)!pod_link_remove(attach->link.name);
}

static void attach_done(PodnetJob *job) {
    AttachJob *attach = (AttachJob *)job;
    Podnet *podnet = job->podnet;
    if (job->error) {
        if (attach->is_new) {
            free(map_remove(podnet->addresses, attach->id));
            (void)ipam_release(podnet->ipam, attach->id);
        }
        attach->done(attach->user, job->error, job->message, STR(""));
        return;
    }
    Str ip = podnet_address(podnet, attach->id);
    if (ip.ptr)
        attach->done(attach->user, 0, STR(""), ip);
    else
        attach->done(attach->user, -ECANCELED, STR("detached meanwhile"), STR(""));
}

void podnet_attach(Podnet *podnet, Str id, Str netns,
                   void (*done)(void *user, int error, Str message, Str ip), void *user) {
    AttachJob *attach = job_new(podnet, sizeof *attach, attach_work, attach_done);
    Arena *arena = attach->job.arena;
    uint32_t address = 0;
    attach->id = arena_str(arena, id);
    attach->done = done;
    attach->user = user;
    attach->is_new = !ipam_find(podnet->ipam, id, &address);
    int error = ipam_allocate(podnet->ipam, id, &address);
    if (error) {
        char range[IPAM_TEXT];
        ipv4_format(podnet->bridge.range.network, range);
        attach->is_new = false;
        attach->job.error = error == IPAM_E_EXHAUSTED ? -ENOSPC : error;
        attach->job.message =
            error == IPAM_E_EXHAUSTED
                ? arena_printf(arena, "no free address in %s/%u", range,
                               podnet->bridge.range.prefix)
                : arena_printf(arena, "cannot allocate an address: %s", strerrordesc_np(-error));
    } else if (attach->is_new) {
        load_address(podnet, id, address);
    }
    char *name = arena_alloc(arena, PODNET_LINK_NAME);
    podnet_link_name(id, name);
    attach->bridge = podnet->bridge;
    attach->bridge.name = arena_cstr(arena, str_from(podnet->bridge.name));
    attach->link = (PodLink){.name = name,
                             .bridge = attach->bridge.name,
                             .netns = arena_cstr(arena, netns),
                             .address = address,
                             .gateway = podnet->bridge.gateway,
                             .prefix = podnet->bridge.range.prefix,
                             .mtu = podnet->mtu};
    if (podnet->sweeping)
        list_append(&podnet->waiting, &attach->job.link);
    else
        job_start(&attach->job);
}

Str podnet_address(const Podnet *podnet, Str id) {
    return str_from(map_get(podnet->addresses, id));
}

Str podnet_gateway(const Podnet *podnet) {
    return str_from(podnet->gateway);
}

// ---- detach

typedef struct DetachJob {
    PodnetJob job;
    Str id;
    char name[PODNET_LINK_NAME];
    void (*done)(void *user, int error, Str message);
    void *user;
} DetachJob;

static void detach_work(PodnetJob *job) {
    job->error = pod_link_remove(((DetachJob *)job)->name);
    if (job->error)
        job->message = arena_printf(job->arena, "cannot remove the pod's link: %s",
                                    strerrordesc_np(-job->error));
}

static void detach_done(PodnetJob *job) {
    DetachJob *detach = (DetachJob *)job;
    Podnet *podnet = job->podnet;
    if (!job->error) {
        free(map_remove(podnet->addresses, detach->id));
        job->error = ipam_release(podnet->ipam, detach->id);
    }
    if (detach->done)
        detach->done(detach->user, job->error, job->message);
    else if (job->error)
        log_warn("net", "cannot detach", "sandbox=%.12s error=\"%s\"", detach->id.ptr,
                 strerrordesc_np(-job->error));
}

void podnet_detach(Podnet *podnet, Str id, void (*done)(void *user, int error, Str message),
                   void *user) {
    DetachJob *detach = job_new(podnet, sizeof *detach, detach_work, detach_done);
    detach->id = arena_str(detach->job.arena, id);
    podnet_link_name(id, detach->name);
    detach->done = done;
    detach->user = user;
    job_start(&detach->job);
}

typedef struct RetainJob {
    PodnetJob job;
    const char *bridge;
    Str *names;
    size_t n;
} RetainJob;

static bool is_retained(void *user, const char *port) {
    RetainJob *retain = user;
    for (size_t i = 0; i < retain->n; i++)
        if (str_eq(retain->names[i], str_from(port)))
            return true;
    return false;
}

static void retain_work(PodnetJob *job) {
    RetainJob *retain = (RetainJob *)job;
    job->error = bridge_sweep(retain->bridge, is_retained, retain);
}

static void retain_done(PodnetJob *job) {
    if (job->error)
        log_warn("net", "cannot sweep the bridge", "error=\"%s\"", strerrordesc_np(-job->error));
    job->podnet->sweeping = false;
    PodnetJob *waiting;
    list_for_each(waiting, &job->podnet->waiting, link) {
        list_remove(&waiting->link);
        job_start(waiting);
    }
}

typedef struct RetainVisit {
    Podnet *podnet;
    const Str *ids;
    size_t n;
} RetainVisit;

static void release_unknown(void *user, Str owner, uint32_t address) {
    RetainVisit *visit = user;
    for (size_t i = 0; i < visit->n; i++)
        if (str_eq(visit->ids[i], owner))
            return;
    podnet_detach(visit->podnet, owner, NULL, NULL);
}

void podnet_retain(Podnet *podnet, const Str *ids, size_t n_ids) {
    RetainVisit visit = {podnet, ids, n_ids};
    ipam_each(podnet->ipam, release_unknown, &visit);
    RetainJob *retain = job_new(podnet, sizeof *retain, retain_work, retain_done);
    Arena *arena = retain->job.arena;
    retain->bridge = arena_cstr(arena, str_from(podnet->bridge.name));
    retain->names = arena_array_of(arena, Str, n_ids + 1);
    for (size_t i = 0; i < n_ids; i++) {
        char name[PODNET_LINK_NAME];
        podnet_link_name(ids[i], name);
        retain->names[retain->n++] = arena_str(arena, str_from(name));
    }
    podnet->sweeping = true;
    job_start(&retain->job);
}

#include "net/ruleset_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "net/firewall.h"

struct RulesetWatch {
    int fd;
    LoopFd *watch;
    void (*changed)(void *user);
    void *user;
    char table[];
};

// Our own changes may be many: the kernel leaves them out. (A load of BPF reads big-endian.)
static void ignore_port(int fd, uint32_t port) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

// The first attribute of every message about tables, and what is in them, is the table's name.
static bool concerns(const RulesetWatch *watch, const struct nlmsghdr *header) {
    const struct nlattr *attribute;
    if (header->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
        mnl_nlmsg_get_payload_len(header) < sizeof(struct nfgenmsg))
        return false;
    mnl_attr_for_each(attribute, header, sizeof(struct nfgenmsg)) {
        if (mnl_attr_get_type(attribute) == NFTA_CHAIN_TABLE)
            return mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0 &&
                   strcmp(mnl_attr_get_str(attribute), watch->table) == 0;
    }
    return false;
}

static bool read_changes(const RulesetWatch *watch) {
    _Alignas(struct nlmsghdr) char buffer[32768];
    bool any = false;
    for (;;) {
        ssize_t n = recv(watch->fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == ENOBUFS) { // there was more than we were told
            any = true;
            continue;
        }
        if (n <= 0)
            return any;
        int left = (int)n;
        for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(header, left);
             header = mnl_nlmsg_next(header, &left))
            any |= concerns(watch, header);
    }
}

static void on_readable(void *user, int events) {
    RulesetWatch *watch = user;
    if (read_changes(watch))
        watch->changed(watch->user);
}

RulesetWatch *ruleset_watch_new(Loop *loop, const char *table, uint32_t own_port,
                                void (*changed)(void *user), void *user) {
    int fd = firewall_watch_open();
    if (fd < 0)
        return NULL;
    if (own_port)
        ignore_port(fd, own_port);
    RulesetWatch *watch = memory_zalloc(sizeof *watch + strlen(table) + 1);
    watch->fd = fd;
    watch->changed = changed;
    watch->user = user;
    memcpy(watch->table, table, strlen(table));
    watch->watch = loop_fd_new(loop, fd, on_readable, watch);
    if (watch->watch)
        loop_fd_want(watch->watch, LOOP_READ);
    return watch;
}

void ruleset_watch_free(RulesetWatch *watch) {
    if (!watch)
        return;
    loop_fd_free(watch->watch);
    close(watch->fd);
    free(watch);
}

#include "node/pod_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

#define HOST_NAME_MAX_LENGTH 63
#define HOST_FILE_MAX (1024 * 1024)
#define NAMESERVERS_MAX 3
#define SEARCHES_MAX 32
#define SEARCH_LENGTH_MAX 253
#define SEARCH_LINE_MAX 2048

// Names ------------------------------------------------------------------------------------------

void pod_host_name(Arena *arena, const Pod *pod, Str cluster_domain, Str *ret_name,
                   Str *ret_domain) {
    const PodSpec *spec = &pod->spec;
    Str name = spec->hostname_override.len ? spec->hostname_override
               : spec->hostname.len        ? spec->hostname
                                           : pod->metadata.name;
    if (name.len > HOST_NAME_MAX_LENGTH) {
        name = str_slice(name, 0, HOST_NAME_MAX_LENGTH);
        while (name.len && (name.ptr[name.len - 1] == '-' || name.ptr[name.len - 1] == '.'))
            name.len--;
    }
    *ret_name = arena_str(arena, name);
    *ret_domain = STR("");
    if (spec->subdomain.len && !spec->hostname_override.len)
        *ret_domain = arena_printf(arena, "%.*s.%.*s.svc.%.*s", STR_ARG(spec->subdomain),
                                   STR_ARG(pod->metadata.namespace), STR_ARG(cluster_domain));
}

// /etc/hosts -------------------------------------------------------------------------------------

static Str finish(Arena *arena, Buf *buf) {
    Str text = arena_str(arena, buf_view(buf));
    buf_deinit(buf);
    return text;
}

Str pod_hosts_text(Arena *arena, const Pod *pod, Str pod_ip, Str cluster_domain, Str host_hosts) {
    Buf buf = BUF_INIT(2 * HOST_FILE_MAX);
    if (pod->spec.host_network) {
        buf_str(&buf, STR("# Kubernetes-managed hosts file (host network).\n"));
        buf_str(&buf, host_hosts);
    } else {
        Str name, domain;
        pod_host_name(arena, pod, cluster_domain, &name, &domain);
        buf_str(&buf, STR("# Kubernetes-managed hosts file.\n"
                          "127.0.0.1\tlocalhost\n"
                          "::1\tlocalhost ip6-localhost ip6-loopback\n"
                          "fe00::0\tip6-localnet\n"
                          "fe00::0\tip6-mcastprefix\n"
                          "fe00::1\tip6-allnodes\n"
                          "fe00::2\tip6-allrouters\n"));
        if (domain.len)
            buf_printf(&buf, "%.*s\t%.*s.%.*s\t%.*s\n", STR_ARG(pod_ip), STR_ARG(name),
                       STR_ARG(domain), STR_ARG(name));
        else
            buf_printf(&buf, "%.*s\t%.*s\n", STR_ARG(pod_ip), STR_ARG(name));
    }
    if (pod->spec.host_aliases.len)
        buf_str(&buf, STR("\n# Entries added by HostAliases.\n"));
    for (size_t i = 0; i < pod->spec.host_aliases.len; i++) {
        const HostAlias *alias = &pod->spec.host_aliases.items[i];
        buf_str(&buf, alias->ip);
        for (size_t j = 0; j < alias->hostnames.len; j++)
            buf_printf(&buf, "\t%.*s", STR_ARG(alias->hostnames.items[j]));
        buf_char(&buf, '\n');
    }
    return finish(arena, &buf);
}

// /etc/resolv.conf -------------------------------------------------------------------------------

typedef struct Strings {
    Arena *arena;
    Str *items;
    size_t n, capacity;
} Strings;

static void push(Strings *list, Str item) {
    if (list->n == list->capacity) {
        size_t more = list->capacity ? list->capacity * 2 : 8;
        list->items =
            arena_grow(list->arena, list->items, list->capacity * sizeof(Str), more * sizeof(Str));
        list->capacity = more;
    }
    list->items[list->n++] = item;
}

static void push_once(Strings *list, Str item) {
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->items[i], item))
            return;
    push(list, item);
}

typedef struct Dns {
    Strings servers, searches, options;
} Dns;

static bool next_word(Str *rest, Str *ret) {
    size_t i = 0;
    while (i < rest->len && (rest->ptr[i] == ' ' || rest->ptr[i] == '\t'))
        i++;
    size_t from = i;
    while (i < rest->len && rest->ptr[i] != ' ' && rest->ptr[i] != '\t')
        i++;
    *ret = str_slice(*rest, from, i);
    *rest = str_slice(*rest, i, rest->len);
    return ret->len > 0;
}

// resolv.conf(5): nameservers add up; of `search` and `options` the last line counts.
static void parse_resolv(Str text, Dns *dns) {
    while (text.ptr) {
        Str line = str_trim(str_cut(&text, '\n')), word, item;
        if (!next_word(&line, &word) || word.ptr[0] == '#')
            continue;
        if (str_eq(word, STR("nameserver")) && next_word(&line, &item))
            push(&dns->servers, item);
        else if (str_eq(word, STR("search"))) {
            dns->searches.n = 0;
            while (next_word(&line, &item)) {
                if (item.len > 1 && str_ends_with(item, STR(".")))
                    item.len--;
                push(&dns->searches, item);
            }
        } else if (str_eq(word, STR("options"))) {
            dns->options.n = 0;
            while (next_word(&line, &item))
                push(&dns->options, item);
        }
    }
}

static void use_cluster(Arena *arena, const Pod *pod, Str cluster_dns, Str domain, Dns *dns) {
    Strings host = dns->searches;
    dns->servers.n = dns->options.n = 0;
    dns->searches = (Strings){.arena = arena};
    while (cluster_dns.ptr)
        push(&dns->servers, str_trim(str_cut(&cluster_dns, ',')));
    push(&dns->options, STR("ndots:5"));
    if (domain.len) {
        push(&dns->searches, arena_printf(arena, "%.*s.svc.%.*s", STR_ARG(pod->metadata.namespace),
                                          STR_ARG(domain)));
        push(&dns->searches, arena_printf(arena, "svc.%.*s", STR_ARG(domain)));
        push(&dns->searches, domain);
    }
    for (size_t i = 0; i < host.n; i++)
        push_once(&dns->searches, host.items[i]);
}

// An option of dnsConfig takes the place of one of the same name.
static void add_option(Arena *arena, Strings *options, const PodDNSConfigOption *option) {
    Str text = option->name;
    if (option->value.len)
        text = arena_printf(arena, "%.*s:%.*s", STR_ARG(option->name), STR_ARG(option->value));
    for (size_t i = 0; i < options->n; i++) {
        Str rest = options->items[i];
        if (str_eq(str_cut(&rest, ':'), option->name)) {
            options->items[i] = text;
            return;
        }
    }
    push(options, text);
}

static void merge_config(Arena *arena, const PodDNSConfig *config, Dns *dns) {
    for (size_t i = 0; i < config->nameservers.len; i++)
        push_once(&dns->servers, config->nameservers.items[i]);
    for (size_t i = 0; i < config->searches.len; i++)
        push_once(&dns->searches, config->searches.items[i]);
    for (size_t i = 0; i < config->options.len; i++)
        add_option(arena, &dns->options, &config->options.items[i]);
}

static Str joined(Arena *arena, const Strings *list) {
    return arena_concat(arena, list->items, list->n, STR(" "));
}

static void fit(Arena *arena, Dns *dns, Str *ret_warning) {
    if (dns->servers.n > NAMESERVERS_MAX) {
        dns->servers.n = NAMESERVERS_MAX;
        *ret_warning = arena_printf(arena,
                                    "Nameserver limits were exceeded, some nameservers have been "
                                    "omitted, the applied nameserver line is: %.*s",
                                    STR_ARG(joined(arena, &dns->servers)));
    }
    Strings *searches = &dns->searches;
    size_t before = searches->n, kept = 0, line = 0;
    for (size_t i = 0; i < before && i < SEARCHES_MAX; i++) {
        Str item = searches->items[i];
        if (item.len > SEARCH_LENGTH_MAX)
            continue;
        if (line + item.len + (kept > 0) > SEARCH_LINE_MAX)
            break;
        line += item.len + (kept > 0);
        searches->items[kept++] = item;
    }
    searches->n = kept;
    if (kept < before)
        *ret_warning = arena_printf(arena,
                                    "Search Line limits were exceeded, some search paths have been "
                                    "omitted, the applied search line is: %.*s",
                                    STR_ARG(joined(arena, searches)));
}

Str pod_resolv_text(Arena *arena, const Pod *pod, Str cluster_dns, Str cluster_domain,
                    Str host_resolv, Str *ret_warning) {
    Dns dns = {{.arena = arena}, {.arena = arena}, {.arena = arena}};
    Str policy = pod->spec.dns_policy;
    bool cluster = str_eq(policy, STR("ClusterFirstWithHostNet")) ||
                   (!str_eq(policy, STR("Default")) && !pod->spec.host_network);
    *ret_warning = STR_NONE;
    if (!str_eq(policy, STR("None"))) {
        parse_resolv(host_resolv, &dns);
        if (cluster && cluster_dns.len)
            use_cluster(arena, pod, cluster_dns, cluster_domain, &dns);
    }
    if (pod->spec.dns_config)
        merge_config(arena, pod->spec.dns_config, &dns);
    fit(arena, &dns, ret_warning);
    Buf buf = BUF_INIT(HOST_FILE_MAX);
    if (dns.searches.n)
        buf_printf(&buf, "search %.*s\n", STR_ARG(joined(arena, &dns.searches)));
    for (size_t i = 0; i < dns.servers.n; i++)
        buf_printf(&buf, "nameserver %.*s\n", STR_ARG(dns.servers.items[i]));
    if (dns.options.n)
        buf_printf(&buf, "options %.*s\n", STR_ARG(joined(arena, &dns.options)));
    return finish(arena, &buf);
}

// Files ------------------------------------------------------------------------------------------

static Str read_small(Arena *arena, const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return STR("");
    Buf buf = BUF_INIT(HOST_FILE_MAX);
    ssize_t n;
    char *room;
    while ((room = buf_reserve(&buf, 4096)) && (n = read(fd, room, 4096)) > 0)
        buf_commit(&buf, (size_t)n);
    close(fd);
    return finish(arena, &buf);
}

// systemd-resolved's stub on 127.0.0.53 cannot be reached from a pod; it keeps the real servers
// beside it.
static Str host_resolv(Arena *arena) {
    Str text = read_small(arena, "/etc/resolv.conf");
    Dns dns = {{.arena = arena}, {.arena = arena}, {.arena = arena}};
    parse_resolv(text, &dns);
    if (dns.servers.n != 1 || !str_eq(dns.servers.items[0], STR("127.0.0.53")))
        return text;
    Str real = read_small(arena, "/run/systemd/resolve/resolv.conf");
    return real.len ? real : text;
}

static int write_in_place(Arena *arena, Str path, Str text) {
    if (str_eq(read_small(arena, path.ptr), text) && access(path.ptr, F_OK) == 0)
        return 0;
    int fd = open(path.ptr, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    int error = fchmod(fd, 0644) == 0 ? 0 : -errno;
    size_t at = 0;
    while (!error && at < text.len) {
        ssize_t n = write(fd, text.ptr + at, text.len - at);
        if (n < 0)
            error = -errno;
        else
            at += (size_t)n;
    }
    close(fd);
    return error;
}

static void warn_dns(NodeAgent *agent, const Pod *pod, Str warning) {
    EventTarget target = {.api_version = STR("v1"),
                          .kind = STR("Pod"),
                          .namespace_ = pod->metadata.namespace,
                          .name = pod->metadata.name,
                          .uid = pod->metadata.uid,
                          .resource_version = pod->metadata.resource_version};
    event_record(agent->events, &target, "Warning", "DNSConfigForming", "%.*s", STR_ARG(warning));
}

int pod_files_write(NodeAgent *agent, Arena *arena, const Pod *pod, Str pod_ip, Str directory,
                    PodFiles *ret) {
    *ret = (PodFiles){
        .hosts = arena_printf(arena, "%.*s/etc-hosts", STR_ARG(directory)),
        .hostname = arena_printf(arena, "%.*s/etc-hostname", STR_ARG(directory)),
        .resolv_conf = arena_printf(arena, "%.*s/resolv.conf", STR_ARG(directory)),
    };
    Str domain = agent->config.cluster_domain, name, warning;
    if (mkdir(arena_cstr(arena, directory), 0750) != 0 && errno != EEXIST)
        return -errno;
    int error = 0;
    if (!pod_ip.len && !pod->spec.host_network)
        ret->hosts = STR_NONE;
    else
        error = write_in_place(
            arena, ret->hosts,
            pod_hosts_text(arena, pod, pod_ip, domain,
                           pod->spec.host_network ? read_small(arena, "/etc/hosts") : STR("")));
    if (!error) {
        char host[256] = "";
        if (pod->spec.host_network && gethostname(host, sizeof host - 1) == 0)
            name = arena_str(arena, str_from(host));
        else
            pod_host_name(arena, pod, domain, &name, &(Str){0});
        error = write_in_place(arena, ret->hostname, arena_printf(arena, "%.*s\n", STR_ARG(name)));
    }
    if (!error) {
        Str text = pod_resolv_text(arena, pod, agent->config.cluster_dns, domain,
                                   host_resolv(arena), &warning);
        error = write_in_place(arena, ret->resolv_conf, text);
        if (warning.ptr)
            warn_dns(agent, pod, warning);
    }
    return error;
}

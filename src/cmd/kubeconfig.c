#include "cmd/kubeconfig.h"

#include <errno.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "schema/value.h"

#define MAX_FILE (1024 * 1024)
#define YEAR (365LL * 24 * 3600 * NSEC_PER_SEC)

Str kubeconfig_write(Arena *arena, Str server, Str cluster_ca, const PkiPair *user, Str user_name) {
    return arena_printf(
        arena,
        "apiVersion: v1\nkind: Config\nclusters:\n- name: seapod\n  cluster:\n    server: %.*s\n"
        "    certificate-authority-data: %.*s\nusers:\n- name: %.*s\n  user:\n"
        "    client-certificate-data: %.*s\n    client-key-data: %.*s\n"
        "contexts:\n- name: seapod\n  context:\n    cluster: seapod\n    user: %.*s\n"
        "current-context: seapod\n",
        STR_ARG(server), STR_ARG(pki_base64(arena, cluster_ca)), STR_ARG(user_name),
        STR_ARG(pki_base64(arena, user->certificate)), STR_ARG(pki_base64(arena, user->key)),
        STR_ARG(user_name));
}

static const Value *named(const Value *config, const char *list, Str name) {
    const Value *items = value_get(config, str_from(list));
    for (uint32_t i = 0; items && items->kind == VALUE_ARRAY && i < items->n; i++)
        if (str_eq(value_string_at(items->items[i], "name"), name))
            return items->items[i];
    return NULL;
}

// "certificate-authority-data" holds it in base64, "certificate-authority" names a file.
static int material(Arena *arena, const Value *object, const char *key, Str *ret,
                    Str *ret_message) {
    Str file = value_string_at(object, key);
    Str data = value_string_at(object, arena_printf(arena, "%s-data", key).ptr);
    *ret = STR_NONE;
    int error = 0;
    if (data.len)
        error = pki_base64_decode(arena, str_trim(data), ret);
    else if (file.len)
        error = cmd_read_file(arena, arena_cstr(arena, file), MAX_FILE, ret);
    if (error)
        *ret_message = arena_printf(arena, "%s: %s", key, strerror(-error));
    return error;
}

static int split_server(Arena *arena, Str server, bool *ret_tls, Str *ret_host,
                        uint16_t *ret_port) {
    *ret_tls = str_starts_with(server, STR("https://"));
    if (!*ret_tls && !str_starts_with(server, STR("http://")))
        return -EINVAL;
    Str rest = str_slice(server, *ret_tls ? 8 : 7, server.len);
    Str host = str_cut(&rest, '/');
    uint64_t port = *ret_tls ? 443 : 80;
    ptrdiff_t colon = str_find_last(host, ':'), bracket = str_find_last(host, ']');
    if (colon > bracket) {
        if (str_to_u64(str_slice(host, (size_t)colon + 1, host.len), &port) != 0 || port > 65535)
            return -EINVAL;
        host = str_slice(host, 0, (size_t)colon);
    }
    if (host.len > 2 && host.ptr[0] == '[')
        host = str_slice(host, 1, host.len - 1);
    *ret_host = arena_str(arena, host);
    *ret_port = (uint16_t)port;
    return host.len ? 0 : -EINVAL;
}

int kubeconfig_client(Arena *arena, Loop *loop, const char *path, Str user_agent, Client **ret,
                      Str *ret_ca, Str *ret_message) {
    Str text, ca, certificate, key, host;
    int error = cmd_read_file(arena, path, MAX_FILE, &text);
    if (error) {
        *ret_message = arena_printf(arena, "kubeconfig %s: %s", path, strerror(-error));
        return error;
    }
    Value *config;
    ParseError parse_error;
    if (value_parse_yaml(arena, text, NULL, &config, &parse_error) != 0) {
        *ret_message =
            arena_printf(arena, "kubeconfig %s: %.*s", path, STR_ARG(parse_error.message));
        return -EBADMSG;
    }
    const Value *context = value_get(
        named(config, "contexts", value_string_at(config, "current-context")), STR("context"));
    const Value *cluster =
        value_get(named(config, "clusters", value_string_at(context, "cluster")), STR("cluster"));
    const Value *user =
        value_get(named(config, "users", value_string_at(context, "user")), STR("user"));
    bool tls;
    uint16_t port;
    if (!cluster || !user ||
        split_server(arena, value_string_at(cluster, "server"), &tls, &host, &port) != 0) {
        *ret_message = arena_printf(
            arena, "kubeconfig %s: its current context names no usable cluster and user", path);
        return -EINVAL;
    }
    if ((error = material(arena, cluster, "certificate-authority", &ca, ret_message)) ||
        (error = material(arena, user, "client-certificate", &certificate, ret_message)) ||
        (error = material(arena, user, "client-key", &key, ret_message)))
        return error;
    TlsContext *context_tls = NULL;
    if (tls && (error = tls_client_context(ca, certificate, key, host, true, &context_tls))) {
        *ret_message = arena_printf(arena, "kubeconfig %s: its certificates can't be used", path);
        return error;
    }
    HttpClient *transport;
    error = http_client_new(
        &(HttpClientConfig){.loop = loop, .host = host, .port = port, .tls = context_tls},
        &transport);
    tls_context_unref(context_tls);
    if (error) {
        *ret_message = arena_printf(arena, "%.*s: %s", STR_ARG(host), strerror(-error));
        return error;
    }
    if (ret_ca)
        *ret_ca = ca;
    *ret = client_new(loop, transport, user_agent);
    return 0;
}

int cmd_kubeconfig(int argc, char **argv) {
    Arena *arena = arena_new();
    Str data_dir = STR(DEFAULT_DATA_DIR), user = STR_NONE, server = STR("https://127.0.0.1:6443");
    OptionList groups = {0};
    const Option options[] = {
        {"data-dir", OPTION_STRING, &data_dir, "DIR",
         "of the cluster (default " DEFAULT_DATA_DIR ")"},
        {"user", OPTION_STRING, &user, "NAME", "the certificate's common name"},
        {"group", OPTION_LIST, &groups, "NAME", "a group of the user's (repeatable)"},
        {"server", OPTION_STRING, &server, "URL",
         "of the API server (default https://127.0.0.1:6443)"},
    };
    options_parse(arena, "kubeconfig", "--user NAME [--group NAME]... [FLAGS]", options,
                  sizeof options / sizeof *options, argc, argv, NULL);
    if (!user.len)
        return cmd_fail("kubeconfig", "--user is needed"), 2;
    Str directory = arena_printf(arena, "%.*s/pki", STR_ARG(data_dir)), text;
    if (cmd_read_file(arena, arena_printf(arena, "%.*s/ca.crt", STR_ARG(directory)).ptr, MAX_FILE,
                      &text) != 0)
        return cmd_fail("kubeconfig", "no cluster in %.*s", STR_ARG(data_dir));
    int64_t now = loop_wall(loop_new());
    PkiFiles files;
    PkiPair pair;
    int error = pki_load_or_create(arena, directory.ptr, now, &files);
    if (!error)
        error = pki_issue(arena, &files.ca, &(PkiSubject){user, groups.items, groups.n}, PKI_CLIENT,
                          NULL, 0, now - 300 * NSEC_PER_SEC, now + YEAR, &pair);
    if (error)
        return cmd_fail("kubeconfig", "%.*s: %s", STR_ARG(directory), strerror(-error));
    Str out = kubeconfig_write(arena, server, files.ca.certificate, &pair, user);
    fwrite(out.ptr, 1, out.len, stdout);
    return 0;
}

#include <stdlib.h>

#include "http/connection.h"

static Str copy_str(char **at, Str s) {
    if (!s.ptr)
        return STR_NONE;
    char *start = *at;
    if (s.len)
        memcpy(start, s.ptr, s.len);
    start[s.len] = '\0';
    *at += s.len + 1;
    return str_of(start, s.len);
}

static size_t list_size(const Str *list, size_t n) {
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += list[i].len + 1;
    return size;
}

HttpPeer *http_peer_copy(const HttpPeer *peer) {
    size_t strings = peer->address.len + peer->common_name.len + peer->certificate_error.len +
                     peer->user.len + 4 + list_size(peer->organizations, peer->n_organizations) +
                     list_size(peer->groups, peer->n_groups);
    size_t lists = (peer->n_organizations + peer->n_groups) * sizeof(Str);
    HttpPeer *copy = malloc(sizeof *copy + lists + strings);
    if (!copy)
        abort();
    Str *list = (Str *)(copy + 1);
    char *at = (char *)copy + sizeof *copy + lists;
    *copy = *peer;
    copy->address = copy_str(&at, peer->address);
    copy->common_name = copy_str(&at, peer->common_name);
    copy->certificate_error = copy_str(&at, peer->certificate_error);
    copy->user = copy_str(&at, peer->user);
    copy->organizations = list;
    for (size_t i = 0; i < peer->n_organizations; i++)
        *list++ = copy_str(&at, peer->organizations[i]);
    copy->groups = list;
    for (size_t i = 0; i < peer->n_groups; i++)
        *list++ = copy_str(&at, peer->groups[i]);
    return copy;
}

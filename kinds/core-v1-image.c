// Image references, as far as the API looks into them: whether the tag is "latest"
// (kubernetes' pkg/util/parsers over github.com/distribution/reference).

#include "kinds/pod.h"

static bool is_lower_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
static bool is_alnum(char c) {
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

// Lower case letters and digits, in runs that one of ".", "_", "__" and any number of "-" join.
static bool is_path_part(Str part) {
    size_t i = 0;
    for (;;) {
        size_t start = i;
        while (i < part.len && is_lower_alnum(part.ptr[i]))
            i++;
        if (i == start)
            return false;
        if (i == part.len)
            return true;
        if (part.ptr[i] == '.')
            i++;
        else if (part.ptr[i] == '_')
            i += i + 1 < part.len && part.ptr[i + 1] == '_' ? 2 : 1;
        else if (part.ptr[i] == '-')
            while (i < part.len && part.ptr[i] == '-')
                i++;
        else
            return false;
    }
}

static bool is_digits(Str text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    return text.len > 0;
}

// HOST or HOST:PORT, where HOST may be an IPv6 address in brackets.
static bool is_domain(Str domain) {
    ptrdiff_t colon = str_find_last(domain, ':');
    bool bracketed = domain.len && domain.ptr[0] == '[';
    Str host = domain;
    if (colon >= 0 && !(bracketed && domain.ptr[domain.len - 1] == ']')) {
        if (!is_digits(str_slice(domain, (size_t)colon + 1, domain.len)))
            return false;
        host = str_slice(domain, 0, (size_t)colon);
    }
    if (bracketed)
        return host.len > 2 && host.ptr[host.len - 1] == ']';
    while (host.ptr) {
        Str label = str_cut(&host, '.');
        if (!label.len || !is_alnum(label.ptr[0]) || !is_alnum(label.ptr[label.len - 1]))
            return false;
        for (size_t i = 0; i < label.len; i++)
            if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-')
                return false;
    }
    return true;
}

static bool is_tag(Str tag) {
    if (!tag.len || tag.len > 128 || tag.ptr[0] == '.' || tag.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < tag.len; i++)
        if (!is_alnum(tag.ptr[i]) && tag.ptr[i] != '_' && tag.ptr[i] != '.' && tag.ptr[i] != '-')
            return false;
    return true;
}

// The part before the first slash is a domain when it looks like one.
static bool is_name(Str name) {
    ptrdiff_t slash = str_find(name, '/');
    if (slash >= 0) {
        Str first = str_slice(name, 0, (size_t)slash);
        bool upper = false;
        for (size_t i = 0; i < first.len; i++)
            upper = upper || (first.ptr[i] >= 'A' && first.ptr[i] <= 'Z');
        if (str_find(first, '.') >= 0 || str_find(first, ':') >= 0 || upper ||
            str_eq(first, STR("localhost"))) {
            if (!is_domain(first))
                return false;
            name = str_slice(name, (size_t)slash + 1, name.len);
        }
    }
    if (!name.len || name.len > 255)
        return false;
    while (name.ptr)
        if (!is_path_part(str_cut(&name, '/')))
            return false;
    return true;
}

bool image_is_latest(Str image) {
    ptrdiff_t at = str_find(image, '@');
    Str name = at >= 0 ? str_slice(image, 0, (size_t)at) : image;
    ptrdiff_t colon = str_find_last(name, ':'), slash = str_find_last(name, '/');
    Str tag = STR_NONE;
    if (colon > slash) {
        tag = str_slice(name, (size_t)colon + 1, name.len);
        name = str_slice(name, 0, (size_t)colon);
    }
    if (!is_name(name) || (tag.ptr && !is_tag(tag)))
        return false;
    return tag.ptr ? str_eq(tag, STR("latest")) : at < 0;
}

#include "image/reference.h"

#include <assert.h>

#include "base/buf.h"

// The longest path, without the domain, that distribution/reference takes.
#define REFERENCE_PATH_MAX 255
#define REFERENCE_TAG_MAX 128
#define REFERENCE_DIGEST_HEX_MIN 32

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
static bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
static bool is_alnum(char c) {
    return is_digit(c) || is_lower(c) || is_upper(c);
}
static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
static bool is_lower_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool all(Str s, bool (*test)(char)) {
    for (size_t i = 0; i < s.len; i++)
        if (!test(s.ptr[i]))
            return false;
    return true;
}

// domain-component: letters, digits and inner dashes.
static bool domain_component_is_valid(Str s) {
    if (s.len == 0 || s.ptr[0] == '-' || s.ptr[s.len - 1] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_alnum(s.ptr[i]) && s.ptr[i] != '-')
            return false;
    return true;
}

static bool is_ipv6_char(char c) {
    return is_hex(c) || c == ':';
}

static bool port_is_valid(Str s) {
    return s.len > 0 && all(s, is_digit);
}

// host [":" port]
static bool domain_is_valid(Str s) {
    if (s.len > 0 && s.ptr[0] == '[') {
        ptrdiff_t end = str_find(s, ']');
        if (end < 2 || !all(str_slice(s, 1, (size_t)end), is_ipv6_char))
            return false;
        Str rest = str_slice(s, (size_t)end + 1, s.len);
        return rest.len == 0 || (rest.ptr[0] == ':' && port_is_valid(str_slice(rest, 1, rest.len)));
    }
    ptrdiff_t colon = str_find(s, ':');
    if (colon >= 0) {
        if (!port_is_valid(str_slice(s, (size_t)colon + 1, s.len)))
            return false;
        s.len = (size_t)colon;
    }
    if (s.len == 0)
        return false;
    while (s.ptr)
        if (!domain_component_is_valid(str_cut(&s, '.')))
            return false;
    return true;
}

// Lower-case letters and digits, joined by one dot, one or two underscores, or any number of
// dashes.
static bool path_component_is_valid(Str s) {
    bool need_alphanumeric = true;
    for (size_t i = 0; i < s.len;) {
        char c = s.ptr[i];
        if (is_lower(c) || is_digit(c)) {
            need_alphanumeric = false;
            i++;
            continue;
        }
        if (need_alphanumeric)
            return false;
        size_t run = 1;
        while (i + run < s.len && s.ptr[i + run] == c)
            run++;
        if (!((c == '.' && run == 1) || (c == '_' && run <= 2) || c == '-'))
            return false;
        need_alphanumeric = true;
        i += run;
    }
    return !need_alphanumeric;
}

static bool path_is_valid(Str s) {
    if (s.len == 0)
        return false;
    while (s.ptr)
        if (!path_component_is_valid(str_cut(&s, '/')))
            return false;
    return true;
}

bool reference_tag_is_valid(Str s) {
    if (s.len == 0 || s.len > REFERENCE_TAG_MAX || s.ptr[0] == '.' || s.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_alnum(s.ptr[i]) && !(s.ptr[i] == '_' || s.ptr[i] == '.' || s.ptr[i] == '-'))
            return false;
    return true;
}

// The digest of the reference grammar, which knows no algorithm by name.
static bool digest_matches_grammar(Str s) {
    ptrdiff_t colon = str_find(s, ':');
    if (colon < 1)
        return false;
    Str hex = str_slice(s, (size_t)colon + 1, s.len);
    if (hex.len < REFERENCE_DIGEST_HEX_MIN || !all(hex, is_hex))
        return false;
    bool at_start = true;
    for (size_t i = 0; i < (size_t)colon; i++) {
        char c = s.ptr[i];
        bool separator = c == '-' || c == '_' || c == '+' || c == '.';
        if (at_start ? !(is_lower(c) || is_upper(c)) : !(is_alnum(c) || separator))
            return false;
        at_start = separator;
    }
    return !at_start;
}

// go-digest's own pattern for algorithms: [a-z0-9]+ joined by one of . + _ -
static bool algorithm_is_wellformed(Str s) {
    bool at_start = true;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool separator = c == '-' || c == '_' || c == '+' || c == '.';
        if (!(is_lower(c) || is_digit(c)) && (at_start || !separator))
            return false;
        at_start = separator;
    }
    return !at_start;
}

bool reference_digest_is_valid(Str digest, const char **ret_reason) {
    static const struct {
        Str name;
        size_t hex_len;
    } algorithms[] = {{STR("sha256"), 64}, {STR("sha384"), 96}, {STR("sha512"), 128}};
    const char *reason = NULL;
    ptrdiff_t colon = str_find(digest, ':');
    size_t hex_len = 0;
    if (colon < 1 || (size_t)colon + 1 == digest.len) {
        reason = "invalid checksum digest format";
    } else {
        Str name = str_slice(digest, 0, (size_t)colon);
        Str hex = str_slice(digest, (size_t)colon + 1, digest.len);
        for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
            if (str_eq(name, algorithms[i].name))
                hex_len = algorithms[i].hex_len;
        if (hex_len == 0)
            reason = algorithm_is_wellformed(name) ? "unsupported digest algorithm"
                                                   : "invalid checksum digest format";
        else if (hex.len != hex_len)
            reason = "invalid checksum digest length";
        else if (!all(hex, is_lower_hex))
            reason = "invalid checksum digest format";
    }
    if (ret_reason)
        *ret_reason = reason;
    return reason == NULL;
}

bool reference_is_sha256(Str digest) {
    return str_starts_with(digest, STR("sha256:")) && reference_digest_is_valid(digest, NULL);
}

// name [":" tag] ["@" digest], where `s` always holds a slash. Views into `s`.
static bool match(Str s, ImageReference *ret) {
    *ret = (ImageReference){0};
    ptrdiff_t at = str_find(s, '@');
    if (at >= 0) {
        ret->digest = str_slice(s, (size_t)at + 1, s.len);
        if (!digest_matches_grammar(ret->digest))
            return false;
        s.len = (size_t)at;
    }
    ptrdiff_t slash = str_find_last(s, '/');
    Str last = slash < 0 ? s : str_slice(s, (size_t)slash + 1, s.len);
    ptrdiff_t colon = str_find(last, ':');
    if (colon >= 0) {
        ret->tag = str_slice(last, (size_t)colon + 1, last.len);
        if (!reference_tag_is_valid(ret->tag))
            return false;
        s.len -= last.len - (size_t)colon;
    }
    Str path = s;
    Str domain = str_cut(&path, '/');
    if (!path.ptr)
        return false;
    ret->domain = domain;
    ret->path = path;
    // Upstream also takes a first component that is no domain but a fine path component, such as
    // "my_host.example/x": it stays the registry's name either way.
    return path_is_valid(path) && (domain_is_valid(domain) || path_component_is_valid(domain));
}

static Str ascii_lower(Arena *arena, Str s) {
    char *copy = arena_alloc(arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        copy[i] = is_upper(s.ptr[i]) ? (char)(s.ptr[i] - 'A' + 'a') : s.ptr[i];
    copy[s.len] = '\0';
    return str_of(copy, s.len);
}

static bool has_upper(Str s) {
    for (size_t i = 0; i < s.len; i++)
        if (is_upper(s.ptr[i]))
            return true;
    return false;
}

// distribution/reference splitDockerDomain: is the first component a registry?
static Str complete_name(Arena *arena, Str text) {
    Str rest = text;
    Str first = str_cut(&rest, '/');
    if (!rest.ptr)
        return arena_printf(arena, "docker.io/library/%.*s", STR_ARG(text));
    bool is_domain = str_eq(first, STR("localhost")) || str_find(first, '.') >= 0 ||
                     str_find(first, ':') >= 0 || has_upper(first);
    if (!is_domain)
        return arena_printf(arena, "docker.io/%.*s", STR_ARG(text));
    if (str_eq(first, STR("index.docker.io")))
        first = STR("docker.io");
    const char *library =
        str_eq(first, STR("docker.io")) && str_find(rest, '/') < 0 ? "library/" : "";
    return arena_printf(arena, "%.*s/%s%.*s", STR_ARG(first), library, STR_ARG(rest));
}

// Go's %q, so that the message can be compared with a kubelet's.
static void append_quoted(Buf *out, Str s) {
    static const char escapes[] = "abtnvfr"; // \a is 7, \r is 13
    buf_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c >= 7 && c <= 13)
            buf_printf(out, "\\%c", escapes[c - 7]);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

static int refuse(Arena *arena, Str text, Str reason, Str *ret_message) {
    _buf_deinit_ Buf out = BUF_INIT(64 << 10);
    buf_str(&out, STR("couldn't parse image name "));
    // A name comes from a client; show no more of it than fits an event.
    append_quoted(&out, text.len > 1024 ? str_slice(text, 0, 1024) : text);
    buf_printf(&out, ": %.*s", STR_ARG(reason));
    *ret_message = arena_str(arena, buf_view(&out));
    return REFERENCE_E_INVALID;
}

int reference_parse(Arena *arena, Str text, ImageReference *ret_reference, Str *ret_message) {
    ImageReference found;
    if (text.len > 4096 || str_find(text, '\0') >= 0) // printf would cut it short there
        return refuse(arena, text, STR("invalid reference format"), ret_message);
    if (text.len == 64 && all(text, is_lower_hex)) {
        Str reason = arena_printf(
            arena, "invalid repository name (%.*s), cannot specify 64-byte hexadecimal strings",
            STR_ARG(text));
        return refuse(arena, text, reason, ret_message);
    }
    Str name = complete_name(arena, text);
    Str remainder = name;
    (void)str_cut(&remainder, '/');
    Str remote = str_cut(&remainder, ':');
    if (has_upper(remote)) {
        Str reason = arena_printf(
            arena, "invalid reference format: repository name (%.*s) must be lowercase",
            STR_ARG(remote));
        return refuse(arena, text, reason, ret_message);
    }
    if (!match(name, &found)) {
        ImageReference ignored;
        Str reason = match(ascii_lower(arena, name), &ignored)
                         ? STR("repository name must be lowercase")
                         : STR("invalid reference format");
        return refuse(arena, text, reason, ret_message);
    }
    if (found.path.len > REFERENCE_PATH_MAX)
        return refuse(arena, text, STR("repository name must not be more than 255 characters"),
                      ret_message);
    const char *reason;
    if (found.digest.ptr && !reference_digest_is_valid(found.digest, &reason))
        return refuse(arena, text, str_from(reason), ret_message);
    if (!found.tag.ptr && !found.digest.ptr)
        found.tag = STR("latest");
    assert(found.domain.len > 0 && found.path.len > 0);
    *ret_reference = found;
    return 0;
}

Str reference_repository(Arena *arena, const ImageReference *reference) {
    return arena_printf(arena, "%.*s/%.*s", STR_ARG(reference->domain), STR_ARG(reference->path));
}

Str reference_format(Arena *arena, const ImageReference *reference) {
    bool by_digest = reference->digest.ptr != NULL;
    Str tail = by_digest ? reference->digest : reference->tag;
    return arena_printf(arena, "%.*s/%.*s%c%.*s", STR_ARG(reference->domain),
                        STR_ARG(reference->path), by_digest ? '@' : ':', STR_ARG(tail));
}

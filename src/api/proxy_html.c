#include "api/proxy_html.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define TAG_MAX (64 * 1024) // a longer one passes as it is

struct ProxyHtml {
    Buf tag, out; // tag: from '<' on, not yet whole
    bool in_tag;
    Str prefix, authority;
    char text[];
};

// Which attributes of which elements hold links.
static const struct {
    const char *element, *attributes;
} links[] = {
    {"a", "href"},
    {"applet", "codebase"},
    {"area", "href"},
    {"audio", "src"},
    {"base", "href"},
    {"blockquote", "cite"},
    {"body", "background"},
    {"button", "formaction"},
    {"command", "icon"},
    {"del", "cite"},
    {"embed", "src"},
    {"form", "action"},
    {"frame", "longdesc src"},
    {"head", "profile"},
    {"html", "manifest"},
    {"iframe", "longdesc src"},
    {"img", "longdesc src usemap"},
    {"input", "formaction src usemap"},
    {"ins", "cite"},
    {"link", "href"},
    {"object", "classid codebase data usemap"},
    {"q", "cite"},
    {"script", "src"},
    {"source", "src"},
    {"video", "poster src"},
};

ProxyHtml *proxy_html_new(Str prefix, Str authority) {
    ProxyHtml *html = memory_zalloc(sizeof *html + prefix.len + authority.len);
    html->tag = BUF_INIT(TAG_MAX);
    html->out = BUF_INIT(SIZE_MAX);
    memcpy(html->text, prefix.ptr, prefix.len);
    memcpy(html->text + prefix.len, authority.ptr, authority.len);
    html->prefix = str_of(html->text, prefix.len);
    html->authority = str_of(html->text + prefix.len, authority.len);
    return html;
}

void proxy_html_free(ProxyHtml *html) {
    if (!html)
        return;
    buf_deinit(&html->tag);
    buf_deinit(&html->out);
    free(html);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool is_link(Str element, Str attribute) {
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        if (!str_eq_nocase(element, str_from(links[i].element)))
            continue;
        Str rest = str_from(links[i].attributes);
        while (rest.ptr)
            if (str_eq_nocase(attribute, str_cut(&rest, ' ')))
                return true;
    }
    return false;
}

static void put_link(ProxyHtml *html, Str link) {
    static const char *const schemes[] = {"http://", "https://"};
    Str path = link;
    for (size_t i = 0; i < 2; i++) {
        Str scheme = str_from(schemes[i]);
        if (!str_starts_with(link, scheme))
            continue;
        Str after = str_slice(link, scheme.len, link.len);
        if (str_starts_with(after, html->authority))
            path = str_slice(after, html->authority.len, after.len);
    }
    bool root = str_starts_with(path, STR("/")) && !str_starts_with(path, STR("//"));
    if (root && !str_starts_with(path, html->prefix)) {
        buf_str(&html->out, html->prefix);
        buf_str(&html->out, path);
    } else {
        buf_str(&html->out, link);
    }
}

// NAME = VALUE, with or without quotes; the offset after it.
static size_t put_attribute(ProxyHtml *html, Str tag, size_t at, Str element) {
    size_t name = at;
    while (at < tag.len && !is_space(tag.ptr[at]) && tag.ptr[at] != '=' && tag.ptr[at] != '>')
        at++;
    Str attribute = str_slice(tag, name, at);
    while (at < tag.len && is_space(tag.ptr[at]))
        at++;
    if (at >= tag.len || tag.ptr[at] != '=' || !attribute.len) {
        at = at == name ? at + 1 : at;
        buf_str(&html->out, str_slice(tag, name, at));
        return at;
    }
    at++;
    while (at < tag.len && is_space(tag.ptr[at]))
        at++;
    char quote = at < tag.len && (tag.ptr[at] == '"' || tag.ptr[at] == '\'') ? tag.ptr[at++] : 0;
    size_t value = at;
    while (at < tag.len &&
           (quote ? tag.ptr[at] != quote : !is_space(tag.ptr[at]) && tag.ptr[at] != '>'))
        at++;
    buf_str(&html->out, str_slice(tag, name, value));
    if (is_link(element, attribute))
        put_link(html, str_slice(tag, value, at));
    else
        buf_str(&html->out, str_slice(tag, value, at));
    return at;
}

static void put_tag(ProxyHtml *html) {
    Str tag = buf_view(&html->tag);
    size_t at = 1;
    while (at < tag.len && !is_space(tag.ptr[at]) && tag.ptr[at] != '>')
        at++;
    Str element = str_slice(tag, 1, at);
    buf_str(&html->out, str_slice(tag, 0, at));
    while (at < tag.len) {
        if (is_space(tag.ptr[at]) || tag.ptr[at] == '>' || tag.ptr[at] == '/')
            buf_char(&html->out, tag.ptr[at++]);
        else
            at = put_attribute(html, tag, at, element);
    }
}

static void end_tag(ProxyHtml *html, bool whole) {
    if (whole)
        put_tag(html);
    else
        buf_str(&html->out, buf_view(&html->tag));
    buf_clear(&html->tag);
    html->in_tag = false;
}

Str proxy_html_feed(ProxyHtml *html, Str data) {
    buf_clear(&html->out);
    while (data.len) {
        if (!html->in_tag) {
            ptrdiff_t start = str_find(data, '<');
            size_t n = start < 0 ? data.len : (size_t)start;
            buf_str(&html->out, str_slice(data, 0, n));
            data = str_slice(data, n, data.len);
            html->in_tag = start >= 0;
            continue;
        }
        ptrdiff_t end = str_find(data, '>');
        size_t n = end < 0 ? data.len : (size_t)end + 1;
        if (html->tag.len + n > TAG_MAX) {
            end_tag(html, false);
            buf_str(&html->out, str_slice(data, 0, n));
        } else {
            buf_str(&html->tag, str_slice(data, 0, n));
            if (end >= 0)
                end_tag(html, true);
        }
        data = str_slice(data, n, data.len);
    }
    return buf_view(&html->out);
}

Str proxy_html_end(ProxyHtml *html) {
    buf_clear(&html->out);
    end_tag(html, false);
    return buf_view(&html->out);
}

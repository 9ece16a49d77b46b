#pragma once
// Links of a page that comes through the API server's proxy: those that begin at the backend's root
// are led through the proxy, as apimachinery's util/proxy Transport does. Works on pieces as they
// come; only a tag is held back until it is whole.

#include "base/buf.h"

typedef struct ProxyHtml ProxyHtml;

// `prefix`: the proxy's own path, without a slash at its end; `authority`: the backend's host and
// port. Both are copied.
ProxyHtml *proxy_html_new(Str prefix, Str authority);
void proxy_html_free(ProxyHtml *html); // NULL is fine
// The rewritten text so far, valid until the next call.
Str proxy_html_feed(ProxyHtml *html, Str data);
Str proxy_html_end(ProxyHtml *html); // what was held back

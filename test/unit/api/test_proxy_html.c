// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdlib.h>

#include "api/proxy_html.h"

#define PREFIX "/api/v1/namespaces/n/pods/p/proxy"

// Feeds the page in pieces of `piece` bytes.
static char *rewrite(const char *page, size_t piece) {
    ProxyHtml *html = proxy_html_new(STR(PREFIX), STR("10.0.0.1:80"));
    Buf out = BUF_INIT(1 << 20);
    Str rest = str_from(page);
    while (rest.len) {
        size_t n = rest.len < piece ? rest.len : piece;
        buf_str(&out, proxy_html_feed(html, str_slice(rest, 0, n)));
        rest = str_slice(rest, n, rest.len);
    }
    buf_str(&out, proxy_html_end(html));
    proxy_html_free(html);
    char *text = strndup(buf_view(&out).ptr, out.len);
    buf_deinit(&out);
    return text;
}

static void test_pages(void **state) {
    static const struct {
        const char *page, *wanted;
    } cases[] = {
        // upstream's proxy/transport_test.go
        {"<a href=\"/rewriteme\">x</a>", "<a href=\"" PREFIX "/rewriteme\">x</a>"},
        {"<a href='/'>", "<a href='" PREFIX "/'>"},
        {"<A HREF=/x>", "<A HREF=" PREFIX "/x>"},
        {"<a class=c href = \"/x\" id=/y>", "<a class=c href = \"" PREFIX "/x\" id=/y>"},
        {"<a href=\"http://10.0.0.1:80/x\">", "<a href=\"" PREFIX "/x\">"},
        {"<img src=\"/a\" alt=\"/b\"/>", "<img src=\"" PREFIX "/a\" alt=\"/b\"/>"},
        // not ours to touch
        {"<a href=\"x\">", NULL},
        {"<a href=\"//example.com/x\">", NULL},
        {"<a href=\"https://example.com/x\">", NULL},
        {"<a href=\"" PREFIX "/x\">", NULL},
        {"<p href=\"/x\">", NULL},
        {"href=\"/x\" < a b > c", NULL},
        {"<a href>", NULL},
        {"<a href=", NULL},
        {"<a href=\"/x", NULL},
        {"<", NULL},
        {"<>", NULL},
        {"< = = \"/x\">", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 40; piece += 6) {
            char *text = rewrite(cases[i].page, piece);
            assert_string_equal(text, cases[i].wanted ? cases[i].wanted : cases[i].page);
            free(text);
        }
}

static void test_a_tag_without_end(void **state) {
    size_t n = 300000;
    char *page = malloc(n + 1);
    memset(page, 'x', n);
    page[0] = '<';
    page[n] = 0;
    char *text = rewrite(page, 1000);
    assert_string_equal(text, page);
    free(text);
    free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_a_tag_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

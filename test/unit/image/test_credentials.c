#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "image/challenge.h"
#include "image/credentials.h"

static Credentials parse(Arena *arena, const char *text) {
    Credentials credentials = {0};
    assert_int_equal(credentials_parse(arena, str_from(text), &credentials), 0);
    return credentials;
}

// The user names that fit, joined by commas.
static const char *fitting(Arena *arena, const Credentials *all, const char *host,
                           const char *path) {
    Credentials found = credentials_for(arena, all, str_from(host), str_from(path));
    Str names[16];
    assert_true(found.n < 16);
    for (size_t i = 0; i < found.n; i++)
        names[i] = found.items[i].username;
    return arena_cstr(arena, arena_concat(arena, names, found.n, STR(",")));
}

static void test_matching(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Credentials all =
        parse(arena, "{\"auths\":{"
                     "\"https://registry.example/v1/\":{\"username\":\"plain\",\"password\":\"p\"},"
                     "\"registry.example:5000\":{\"username\":\"port\",\"password\":\"p\"},"
                     "\"registry.example/team\":{\"username\":\"team\",\"password\":\"p\"},"
                     "\"*.wild.example\":{\"username\":\"wild\",\"password\":\"p\"},"
                     "\"a?b.c*.example:1\":{\"username\":\"glob\",\"password\":\"p\"},"
                     "\"[::1]:5000\":{\"username\":\"six\",\"password\":\"p\"},"
                     "\"https://index.docker.io/v1/\":{\"username\":\"hub\",\"password\":\"p\"}}}");
    assert_string_equal(fitting(arena, &all, "registry.example", "other/x"), "plain");
    assert_string_equal(fitting(arena, &all, "registry.example", "team/x"), "team,plain");
    assert_string_equal(fitting(arena, &all, "registry.example:5000", "team/x"), "port");
    assert_string_equal(fitting(arena, &all, "registry.example:5001", "x"), "");
    assert_string_equal(fitting(arena, &all, "a.wild.example", "x"), "wild");
    assert_string_equal(fitting(arena, &all, "a.b.wild.example", "x"), ""); // label by label
    assert_string_equal(fitting(arena, &all, "wild.example", "x"), "");
    assert_string_equal(fitting(arena, &all, "axb.ccc.example:1", "x"), "glob");
    assert_string_equal(fitting(arena, &all, "axb.ccc.example", "x"), "");
    assert_string_equal(fitting(arena, &all, "[::1]:5000", "x"), "six");
    assert_string_equal(fitting(arena, &all, "docker.io", "library/busybox"), "hub");
    assert_string_equal(fitting(arena, &all, "quay.io", "x"), "");
}

static void test_forms(void **state) {
    _arena_free_ Arena *arena = arena_new();
    // "ann:se:cret"; an old file without "auths"
    Credentials all = parse(arena, "{\"h\":{\"auth\":\"YW5uOnNlOmNyZXQ=\"}}");
    assert_int_equal(all.n, 1);
    assert_true(str_eq(all.items[0].username, STR("ann")));
    assert_true(str_eq(all.items[0].password, STR("se:cret")));
    all = parse(arena, "{\"auths\":{\"h\":{\"identitytoken\":\"t\"}}}");
    assert_int_equal(all.n, 1);
    assert_true(str_eq(all.items[0].identity_token, STR("t")));
    // Nothing usable: no colon, no base64, no object, nothing at all.
    all = parse(arena,
                "{\"auths\":{\"a\":{\"auth\":\"YW5u\"},\"b\":{\"auth\":\"%%\"},\"c\":1,\"d\":{}}}");
    assert_int_equal(all.n, 0);
    assert_int_equal(credentials_parse(arena, STR("[]"), &all), -EBADMSG);
    assert_int_equal(credentials_parse(arena, STR("{"), &all), -EBADMSG);
}

static void test_challenges(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Challenge found[CHALLENGES_MAX];
    Str hub = STR("Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
                  "scope=\"repository:library/x:pull\",error=\"insufficient_scope\"");
    assert_int_equal(challenge_parse(arena, hub, found), 1);
    assert_true(str_eq(found[0].scheme, STR("Bearer")));
    assert_true(str_eq(found[0].realm, STR("https://auth.docker.io/token")));
    assert_true(str_eq(found[0].service, STR("registry.docker.io")));
    assert_true(str_eq(found[0].scope, STR("repository:library/x:pull")));
    assert_true(str_eq(found[0].error, STR("insufficient_scope")));

    Str two = STR(" basic Realm = \"a \\\"b\\\", c\" ,, bearer realm=x");
    assert_int_equal(challenge_parse(arena, two, found), 2);
    assert_true(str_eq(found[0].realm, STR("a \"b\", c")));
    assert_true(str_eq_nocase(found[1].scheme, STR("Bearer")));
    assert_true(str_eq(found[1].realm, STR("x")));

    assert_int_equal(challenge_parse(arena, STR(""), found), 0);
    assert_int_equal(challenge_parse(arena, STR("\"\""), found), 0);
    assert_int_equal(challenge_parse(arena, STR("Bearer realm=\"open"), found), 2);
    assert_null(found[0].realm.ptr);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_challenges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

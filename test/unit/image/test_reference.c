#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/reference.h"

#define HEX64 "7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa"
#define A32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A128 A32 A32 A32 A32

static void test_accepts(void **state) {
    static const struct {
        const char *text, *domain, *path, *tag, *digest, *whole;
    } cases[] = {
        {"busybox", "docker.io", "library/busybox", "latest", "",
         "docker.io/library/busybox:latest"},
        {"busybox:1.36", "docker.io", "library/busybox", "1.36", "",
         "docker.io/library/busybox:1.36"},
        {"docker.io/busybox", "docker.io", "library/busybox", "latest", "",
         "docker.io/library/busybox:latest"},
        {"index.docker.io/library/busybox:a_B-c.d", "docker.io", "library/busybox", "a_B-c.d", "",
         "docker.io/library/busybox:a_B-c.d"},
        {"team/app", "docker.io", "team/app", "latest", "", "docker.io/team/app:latest"},
        {"a__b/c-----d.e", "docker.io", "a__b/c-----d.e", "latest", "",
         "docker.io/a__b/c-----d.e:latest"},
        {"localhost/app", "localhost", "app", "latest", "", "localhost/app:latest"},
        {"localhost:5000/app", "localhost:5000", "app", "latest", "", "localhost:5000/app:latest"},
        {"localhost:5000", "docker.io", "library/localhost", "5000", "",
         "docker.io/library/localhost:5000"},
        {"127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000", "a/b/c", "v1", "", "127.0.0.1:5000/a/b/c:v1"},
        {"[2001:db8::1]:5000/app:1", "[2001:db8::1]:5000", "app", "1", "",
         "[2001:db8::1]:5000/app:1"},
        {"[::1]/app", "[::1]", "app", "latest", "", "[::1]/app:latest"},
        {"Registry/app", "Registry", "app", "latest", "", "Registry/app:latest"},
        {"xn--n3h.com/app", "xn--n3h.com", "app", "latest", "", "xn--n3h.com/app:latest"},
        {"my_host.example/x", "my_host.example", "x", "latest", "", "my_host.example/x:latest"},
        {"busybox@sha256:" HEX64, "docker.io", "library/busybox", "", "sha256:" HEX64,
         "docker.io/library/busybox@sha256:" HEX64},
        {"busybox:1.36@sha256:" HEX64, "docker.io", "library/busybox", "1.36", "sha256:" HEX64,
         "docker.io/library/busybox@sha256:" HEX64},
        {"sha256:" HEX64, "docker.io", "library/sha256", HEX64, "",
         "docker.io/library/sha256:" HEX64},
        {"x:" A128, "docker.io", "library/x", A128, "", "docker.io/library/x:" A128},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _arena_free_ Arena *arena = arena_new();
        ImageReference reference;
        Str message;
        assert_int_equal(reference_parse(arena, str_from(cases[i].text), &reference, &message), 0);
        assert_string_equal(arena_cstr(arena, reference.domain), cases[i].domain);
        assert_string_equal(arena_cstr(arena, reference.path), cases[i].path);
        assert_string_equal(arena_cstr(arena, reference.tag), cases[i].tag);
        assert_string_equal(arena_cstr(arena, reference.digest), cases[i].digest);
        assert_string_equal(reference_format(arena, &reference).ptr, cases[i].whole);
        // What is shown can be read again and means the same.
        ImageReference again;
        assert_int_equal(
            reference_parse(arena, reference_format(arena, &reference), &again, &message), 0);
        assert_true(str_eq(reference.domain, again.domain) && str_eq(reference.path, again.path));
    }
}

static void test_refuses(void **state) {
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"", "invalid reference format"},
        {":latest", "invalid reference format"},
        {"busybox:", "invalid reference format"},
        {"busybox:la test", "invalid reference format"},
        {"busybox:-x", "invalid reference format"},
        {"x:" A128 "a", "invalid reference format"},
        {"busybox@", "invalid reference format"},
        {"busybox@sha256:abcd", "invalid reference format"},
        {"busybox@sha256:" HEX64 "@sha256:" HEX64, "invalid reference format"},
        {"a//b", "invalid reference format"},
        {"/a", "invalid reference format"},
        {"a/", "invalid reference format"},
        {"a/b/", "invalid reference format"},
        {"-a", "invalid reference format"},
        {"a-", "invalid reference format"},
        {"a..b", "invalid reference format"},
        {"a___b", "invalid reference format"},
        {"a._b", "invalid reference format"},
        {"../etc", "invalid reference format"},
        {"host.example:/x", "invalid reference format"},
        {"host.example:port/x", "invalid reference format"},
        {"-host.example/x", "invalid reference format"},
        {"[::1/x", "invalid reference format"},
        {"[]/x", "invalid reference format"},
        {"[fe80::1%eth0]/x", "invalid reference format"},
        {"https://host.example/x", "invalid reference format"},
        {"Busybox",
         "invalid reference format: repository name (library/Busybox) must be lowercase"},
        {"team/App:V1", "invalid reference format: repository name (team/App) must be lowercase"},
        {"Bad_Host/x", "repository name must be lowercase"},
        {HEX64, "invalid repository name (" HEX64 "), cannot specify 64-byte hexadecimal strings"},
        {"x@sha256:" A32, "invalid checksum digest length"},
        {"x@sha256:" HEX64 "aa", "invalid checksum digest length"},
        {"x@sha256:" A32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "invalid checksum digest format"},
        {"x@md5:" A32, "unsupported digest algorithm"},
        {"x@MD5:" A32,
         "invalid reference format: repository name (library/x@MD5) must be lowercase"},
        {"h.example/" A128 A128, "repository name must not be more than 255 characters"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _arena_free_ Arena *arena = arena_new();
        ImageReference reference;
        Str message, expected = arena_printf(arena, "couldn't parse image name \"%s\": %s",
                                             cases[i].text, cases[i].reason);
        assert_int_equal(reference_parse(arena, str_from(cases[i].text), &reference, &message),
                         REFERENCE_E_INVALID);
        assert_string_equal(message.ptr, expected.ptr);
    }
}

static void test_message_quotes(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ImageReference reference;
    Str message;
    assert_int_equal(reference_parse(arena, STR("a\"\\\n\x01\0b"), &reference, &message),
                     REFERENCE_E_INVALID);
    assert_string_equal(message.ptr, "couldn't parse image name \"a\\\"\\\\\\n\\x01\\x00b\": "
                                     "invalid reference format");
    // Longer than any name can be: refused before it is looked at, and not repeated whole.
    char *text = arena_alloc(arena, 100000);
    memset(text, 'a', 100000);
    assert_int_equal(reference_parse(arena, str_of(text, 100000), &reference, &message),
                     REFERENCE_E_INVALID);
    assert_true(message.len < 2048);
}

static void test_digests(void **state) {
    assert_true(reference_is_sha256(STR("sha256:" HEX64)));
    assert_false(reference_is_sha256(STR("sha256:" HEX64 "a")));
    assert_false(reference_is_sha256(STR("sha512:" A128)));
    assert_true(reference_digest_is_valid(STR("sha512:" A128), NULL));
    assert_false(reference_is_sha256(STR("")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_message_quotes),
        cmocka_unit_test(test_digests),

    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

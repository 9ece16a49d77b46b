// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>

#include "pki/pki.h"

static void assert_str(Str s, const char *expected) {
    assert_non_null(s.ptr);
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.ptr, expected, s.len);
    assert_int_equal(s.ptr[s.len], 0);
}

static const struct {
    Str data;
    const char *plain, *url;
} vectors[] = {
    // RFC 4648, section 10
    {STR(""), "", ""},
    {STR("f"), "Zg==", "Zg"},
    {STR("fo"), "Zm8=", "Zm8"},
    {STR("foo"), "Zm9v", "Zm9v"},
    {STR("foob"), "Zm9vYg==", "Zm9vYg"},
    {STR("fooba"), "Zm9vYmE=", "Zm9vYmE"},
    {STR("foobar"), "Zm9vYmFy", "Zm9vYmFy"},
    {STR("\xfb\xff\xfe\x00"), "+//+AA==", "-__-AA"},
};

static void test_base64(void **state) {
    _arena_free_ Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        Str back;
        assert_str(pki_base64(arena, vectors[i].data), vectors[i].plain);
        assert_str(pki_base64url(arena, vectors[i].data), vectors[i].url);
        assert_int_equal(pki_base64_decode(arena, str_from(vectors[i].plain), &back), 0);
        assert_true(str_eq(back, vectors[i].data));
        assert_int_equal(pki_base64url_decode(arena, str_from(vectors[i].url), &back), 0);
        assert_true(str_eq(back, vectors[i].data));
    }
    assert_str(pki_base64(arena, STR_NONE), "");
}

static void test_refuses(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Str back;
    static const char *const plain[] = {
        "Z",    "Zg",   "Zg=",  "Zm8",  "====",   "Zg===", "Z===", "Zm9v ",        "Zm9v=",
        "Zh==", "-__-", "Zm=v", "=Zm9", "Zm9v\n", "Zm9",   "Zm9=", "Zm9vYg==Zg==", "\xff\xff=="};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        assert_int_equal(pki_base64_decode(arena, str_from(plain[i]), &back), -EINVAL);
    static const char *const url[] = {"Z", "Zg==", "Zm8=", "+//+", "Zh", "Zm9", "Zm9v."};
    for (size_t i = 0; i < sizeof url / sizeof *url; i++)
        assert_int_equal(pki_base64url_decode(arena, str_from(url[i]), &back), -EINVAL);
}

static void test_sha256(void **state) {
    _arena_free_ Arena *arena = arena_new();
    // FIPS 180-2
    assert_str(pki_sha256_hex(arena, STR("abc")),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_str(pki_sha256_hex(arena, STR_NONE),
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_sha256),
    };
    return cmocka_run_group_tests_name("pki encode", tests, NULL, NULL);
}

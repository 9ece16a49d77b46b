#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "image/digest.h"
#include "image/documents.h"

#define HEX "7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa"

static Descriptor entry(const char *os, const char *architecture, const char *variant) {
    return (Descriptor){.platform = {str_from(os), str_from(architecture), str_from(variant)}};
}

static void test_platforms(void **state) {
    Platform platform;
    assert_int_equal(platform_parse(STR("arm64"), &platform), 0);
    assert_true(str_eq(platform.os, STR("linux")) && str_eq(platform.architecture, STR("arm64")));
    assert_int_equal(platform_parse(STR("linux/arm/v7"), &platform), 0);
    assert_true(str_eq(platform.variant, STR("v7")));
    assert_int_equal(platform_parse(STR(""), &platform), -EINVAL);
    assert_int_equal(platform_parse(STR("linux/"), &platform), -EINVAL);
    assert_int_equal(platform_parse(STR("a/b/c/d"), &platform), -EINVAL);
}

// Which entry of the list is taken: its number, or -1.
static int choose(Descriptor *items, size_t n, const char *text) {
    Platform platform;
    assert_int_equal(platform_parse(str_from(text), &platform), 0);
    Descriptors all = {items, n};
    const Descriptor *chosen = index_choose(&all, &platform);
    return chosen ? (int)(chosen - items) : -1;
}

static void test_choice_by_platform(void **state) {
    Descriptor items[] = {entry("unknown", "unknown", NULL), entry("windows", "amd64", NULL),
                          entry("linux", "arm", "v5"),       entry("linux", "arm", "v7"),
                          entry("linux", "amd64", NULL),     entry("linux", "arm64", "v8"),
                          entry("linux", "amd64", "v3")};
    assert_int_equal(choose(items, 7, "linux/amd64"), 4);
    assert_int_equal(choose(items, 7, "linux/amd64/v3"), 6);
    assert_int_equal(choose(items, 7, "linux/amd64/v2"), 4);
    assert_int_equal(choose(items, 7, "linux/arm64"), 5);
    assert_int_equal(choose(items, 7, "linux/arm/v7"), 3);
    assert_int_equal(choose(items, 7, "linux/arm/v6"), 2); // an older one runs
    assert_int_equal(choose(items, 7, "linux/s390x"), -1);
    assert_int_equal(choose(items + 6, 1, "linux/amd64"), -1); // a newer one might not
    // One that does not say is better than none, but not than one that fits.
    Descriptor silent[] = {entry(NULL, NULL, NULL), entry("linux", "amd64", NULL)};
    assert_int_equal(choose(silent, 2, "linux/amd64"), 1);
    assert_int_equal(choose(silent, 1, "linux/amd64"), 0);
}

static void test_config(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Failure failure = {0};
    Image image = {0};
    Str text =
        STR("{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{\"Entrypoint\":null,"
            "\"Cmd\":[\"a\",\"\"],\"User\":\"\",\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}}},"
            "\"rootfs\":{\"diff_ids\":[\"sha256:" HEX "\"]}}");
    assert_int_equal(document_config(arena, text, &image, &failure), 0);
    assert_int_equal(image.entrypoint.n, 0);
    assert_int_equal(image.cmd.n, 2);
    assert_null(image.user.ptr); // "" is nobody in particular
    assert_string_equal(image.exposed_ports.items[0].ptr, "53/udp");
    // Written and read again it says the same.
    Image again = {0};
    assert_int_equal(document_config(arena, document_write_config(arena, &image), &again, &failure),
                     0);
    assert_int_equal(again.cmd.n, 2);
    assert_int_equal(again.diff_ids.n, 1);
    assert_int_equal(again.exposed_ports.n, 2);

    static const char *const bad[] = {"[]", "{}", "{\"rootfs\":{\"diff_ids\":[1]}}",
                                      "{\"rootfs\":{\"diff_ids\":[\"sha256:abc\"]}}",
                                      "{\"rootfs\":{\"diff_ids\":{}}}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(document_config(arena, str_from(bad[i]), &image, &failure),
                         IMAGE_E_BAD_DATA);
}

static void test_manifest_that_is_written(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Failure failure = {0};
    Descriptor layer = {.digest = STR("sha256:" HEX), .size = 77};
    Descriptors layers = {&layer, 1};
    Str text = document_write_manifest(arena, STR("sha256:" HEX), 5, &layers);
    DocumentKind kind;
    Manifest manifest;
    assert_int_equal(document_kind(text, &kind, &failure), 0);
    assert_int_equal(kind, DOCUMENT_MANIFEST);
    assert_int_equal(document_manifest(arena, text, &manifest, &failure), 0);
    assert_int_equal(manifest.layers.n, 1);
    assert_int_equal(manifest.layers.items[0].size, 77);
    assert_int_equal(manifest.config.size, 5);
}

static void test_sizes_are_bounded(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Failure failure = {0};
    Manifest manifest;
    Str large = STR("{\"config\":{\"digest\":\"sha256:" HEX "\",\"size\":4194305},\"layers\":[]}");
    assert_int_equal(document_manifest(arena, large, &manifest, &failure), IMAGE_E_BAD_DATA);
    Str negative = STR("{\"config\":{\"digest\":\"sha256:" HEX "\",\"size\":-1},\"layers\":[]}");
    assert_int_equal(document_manifest(arena, negative, &manifest, &failure), IMAGE_E_BAD_DATA);
}

static void test_sha256(void **state) {
    _arena_free_ Arena *arena = arena_new();
    // FIPS 180-2, appendix B.1
    assert_string_equal(sha256_of(arena, STR("abc")).ptr,
                        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    Sha256 *sha = sha256_new();
    sha256_add(sha, "a", 1);
    sha256_add(sha, "bc", 2);
    assert_true(str_eq(sha256_end(sha, arena), sha256_of(arena, STR("abc"))));
    sha256_free(sha);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_platforms),
        cmocka_unit_test(test_choice_by_platform),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_manifest_that_is_written),
        cmocka_unit_test(test_sizes_are_bounded),
        cmocka_unit_test(test_sha256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

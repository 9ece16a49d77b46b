#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/store.h"
#include "image/store_files.h"
#include "image/strings.h"
#include "image/summary.h"

// Digests that are easy to tell apart: one letter, 64 times.
static Str digest(Arena *arena, char letter) {
    char hex[64];
    memset(hex, letter, sizeof(hex));
    return arena_printf(arena, "sha256:%.64s", hex);
}

typedef struct Fixture {
    char directory[64];
    ImageStore *store;
    Arena *arena;
} Fixture;

static int setup(void **state) {
    Fixture *fixture = calloc(1, sizeof(*fixture));
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/image-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    fixture->arena = arena_new();
    assert_int_equal(image_store_open(fixture->directory, &fixture->store), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    Fixture *fixture = *state;
    image_store_free(fixture->store);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", fixture->directory);
    assert_int_equal(system(command), 0);
    arena_free(fixture->arena);
    free(fixture);
    return 0;
}

static void make(Fixture *fixture, const char *path) {
    assert_int_equal(mkdirat(fixture->store->root, path, 0700), 0);
}

static void put(Fixture *fixture, const char *path, const char *text) {
    assert_int_equal(
        store_write_file(fixture->store->root, "tmp/file", path, str_from(text), false), 0);
}

static void put_layer(Fixture *fixture, char letter) {
    const char *path = store_layer_path(fixture->arena, digest(fixture->arena, letter));
    make(fixture, path);
    make(fixture, arena_printf(fixture->arena, "%s/fs", path).ptr);
}

// An image whose manifest is `manifest`, config `id`, with one layer `layer`.
static void put_image(Fixture *fixture, char manifest, char id, char layer) {
    Arena *arena = fixture->arena;
    Image image = {.id = digest(arena, id),
                   .manifest = digest(arena, manifest),
                   .size = 1234,
                   .os = STR("linux"),
                   .architecture = STR("amd64"),
                   .user = STR("65534:65534"),
                   .working_dir = STR("/srv"),
                   .stop_signal = STR("SIGQUIT")};
    image_strings_push(arena, &image.entrypoint, STR("/bin/sh"));
    image_strings_push(arena, &image.cmd, STR("-c"));
    image_strings_push(arena, &image.cmd, STR(""));
    image_strings_push(arena, &image.env, STR("PATH=/bin"));
    image_strings_push(arena, &image.exposed_ports, STR("80/tcp"));
    image_strings_push(arena, &image.diff_ids, digest(arena, layer));
    image_strings_push(
        arena, &image.layers,
        arena_printf(arena, "/x/layers/%.*s/fs", STR_ARG(store_hex(digest(arena, layer)))));
    image.labels = (ImageLabel[]){{STR("b"), STR("2")}, {STR("a"), STR("1")}};
    image.n_labels = 2;
    _buf_deinit_ Buf out = BUF_INIT(IMAGE_SUMMARY_MAX);
    image_summary_encode(&image, false, &out);
    assert_false(out.failed);
    buf_char(&out, '\0');
    put(fixture, store_summary_path(arena, image.manifest), out.data);
}

static const char *record(Arena *arena, char target, char manifest) {
    return arena_printf(arena, "%s\n%s\n", digest(arena, target).ptr, digest(arena, manifest).ptr)
        .ptr;
}

// busybox:1 and @index -> manifest 'b' of config 'c' on layer 'd'; nginx:1 -> 'e', 'f', 'd'.
static void fill(Fixture *fixture) {
    Arena *arena = fixture->arena;
    put_layer(fixture, 'd');
    put_image(fixture, 'b', 'c', 'd');
    put_image(fixture, 'e', 'f', 'd');
    make(fixture, "images/docker.io");
    make(fixture, "images/docker.io/library");
    make(fixture, "images/docker.io/library/busybox");
    make(fixture, "images/docker.io/library/nginx");
    put(fixture, "images/docker.io/library/busybox/:1", record(arena, 'a', 'b'));
    put(fixture,
        arena_printf(arena, "images/docker.io/library/busybox/@%s", digest(arena, 'a').ptr).ptr,
        record(arena, 'a', 'b'));
    put(fixture, "images/docker.io/library/nginx/:1", record(arena, 'e', 'e'));
}

static int resolve(Fixture *fixture, const char *name, bool short_ids, Image *image) {
    return image_store_resolve(fixture->store, fixture->arena, str_from(name), short_ids, image);
}

static void test_resolve_by_name(void **state) {
    Fixture *fixture = *state;
    Arena *arena = fixture->arena;
    Image image;
    fill(fixture);
    assert_int_equal(resolve(fixture, "busybox:1", false, &image), 0);
    assert_true(str_eq(image.id, digest(arena, 'c')));
    assert_true(str_eq(image.manifest, digest(arena, 'b')));
    assert_int_equal(image.size, 1234);
    assert_string_equal(image.user.ptr, "65534:65534");
    assert_string_equal(image.working_dir.ptr, "/srv");
    assert_string_equal(image.stop_signal.ptr, "SIGQUIT");
    assert_int_equal(image.cmd.n, 2);
    assert_string_equal(image.cmd.items[1].ptr, "");
    assert_int_equal(image.entrypoint.n, 1);
    assert_int_equal(image.n_labels, 2);
    assert_string_equal(image.labels[0].name.ptr, "a");
    assert_int_equal(image.repo_tags.n, 1);
    assert_string_equal(image.repo_tags.items[0].ptr, "docker.io/library/busybox:1");
    assert_int_equal(image.repo_digests.n, 1);
    assert_string_equal(
        image.repo_digests.items[0].ptr,
        arena_printf(arena, "docker.io/library/busybox@%s", digest(arena, 'a').ptr).ptr);
    assert_int_equal(image.layers.n, 1);
    assert_string_equal(image.layers.items[0].ptr,
                        arena_printf(arena, "%s/images-store/layers/%s/fs", fixture->directory,
                                     digest(arena, 'd').ptr + 7)
                            .ptr);

    assert_int_equal(resolve(fixture, "busybox", false, &image), IMAGE_STORE_E_NOT_FOUND);
    assert_int_equal(resolve(fixture, "quay.io/a/busybox:1", false, &image),
                     IMAGE_STORE_E_NOT_FOUND);
    assert_int_equal(resolve(fixture, "Busybox:1", false, &image), IMAGE_STORE_E_INVALID_NAME);
}

static void test_resolve_by_digest(void **state) {
    Fixture *fixture = *state;
    Arena *arena = fixture->arena;
    Image image;
    fill(fixture);
    const char *by_index = arena_printf(arena, "busybox@%s", digest(arena, 'a').ptr).ptr;
    assert_int_equal(resolve(fixture, by_index, false, &image), 0);
    assert_true(str_eq(image.manifest, digest(arena, 'b')));
    const char *both = arena_printf(arena, "busybox:9@%s", digest(arena, 'a').ptr).ptr;
    assert_int_equal(resolve(fixture, both, false, &image), 0);
    const char *by_manifest = arena_printf(arena, "busybox@%s", digest(arena, 'b').ptr).ptr;
    assert_int_equal(resolve(fixture, by_manifest, false, &image), 0);
    const char *other = arena_printf(arena, "nginx@%s", digest(arena, 'a').ptr).ptr;
    assert_int_equal(resolve(fixture, other, false, &image), IMAGE_STORE_E_NOT_FOUND);
}

static void test_resolve_by_id(void **state) {
    Fixture *fixture = *state;
    Arena *arena = fixture->arena;
    Image image;
    fill(fixture);
    assert_int_equal(resolve(fixture, digest(arena, 'f').ptr, false, &image), 0);
    assert_string_equal(image.repo_tags.items[0].ptr, "docker.io/library/nginx:1");
    assert_int_equal(resolve(fixture, digest(arena, 'f').ptr + 7, false, &image), 0);
    assert_int_equal(resolve(fixture, "ffffffffffff", true, &image), 0);
    assert_int_equal(resolve(fixture, "sha256:ffffffffffff", true, &image), 0);
    assert_int_equal(resolve(fixture, "fffffffffff", true, &image), IMAGE_STORE_E_NOT_FOUND);
    assert_int_equal(resolve(fixture, "ffffffffffff", false, &image), IMAGE_STORE_E_NOT_FOUND);
    assert_int_equal(resolve(fixture, digest(arena, 'e').ptr, false, &image),
                     IMAGE_STORE_E_NOT_FOUND); // a manifest is no image id
}

static void test_missing_layer_is_not_found(void **state) {
    Fixture *fixture = *state;
    Image image;
    fill(fixture);
    put_image(fixture, '1', '2', '3');
    put(fixture, "images/docker.io/library/busybox/:broken", record(fixture->arena, '1', '1'));
    assert_int_equal(resolve(fixture, "busybox:broken", false, &image), IMAGE_STORE_E_NOT_FOUND);
    put(fixture, "images/docker.io/library/busybox/:garbage", "sha256:zz\n");
    assert_int_equal(resolve(fixture, "busybox:garbage", false, &image), IMAGE_STORE_E_NOT_FOUND);
    Image *images;
    size_t n;
    assert_int_equal(image_store_list(fixture->store, fixture->arena, &images, &n), 0);
    assert_int_equal(n, 2);
}

static void test_list(void **state) {
    Fixture *fixture = *state;
    Image *images;
    size_t n;
    assert_int_equal(image_store_list(fixture->store, fixture->arena, &images, &n), 0);
    assert_int_equal(n, 0);
    fill(fixture);
    put(fixture, "images/docker.io/library/nginx/:also", record(fixture->arena, 'e', 'e'));
    assert_int_equal(image_store_list(fixture->store, fixture->arena, &images, &n), 0);
    assert_int_equal(n, 2);
    assert_true(str_eq(images[0].id, digest(fixture->arena, 'c')));
    assert_int_equal(images[1].repo_tags.n, 2);
    assert_int_equal(images[1].repo_digests.n, 0);

    // The same config under another manifest is no other image.
    put_image(fixture, '9', 'f', 'd');
    put(fixture, "images/docker.io/library/busybox/:nginx", record(fixture->arena, '9', '9'));
    assert_int_equal(image_store_list(fixture->store, fixture->arena, &images, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(images[1].repo_tags.n, 3);
    assert_string_equal(images[1].repo_tags.items[0].ptr, "docker.io/library/busybox:nginx");
}

static void test_pins(void **state) {
    Fixture *fixture = *state;
    Image image;
    ImageStrings names;
    fill(fixture);
    assert_int_equal(resolve(fixture, "busybox:1", false, &image), 0);
    assert_int_equal(image_store_pin(fixture->store, STR("../escape"), &image), -EINVAL);
    assert_int_equal(image_store_pin(fixture->store, STR(".hidden"), &image), -EINVAL);
    assert_int_equal(image_store_pin(fixture->store, STR(""), &image), -EINVAL);
    assert_int_equal(image_store_pin(fixture->store, STR("container-1"), &image), 0);
    assert_int_equal(image_store_pin(fixture->store, STR("container-1"), &image), 0);
    assert_int_equal(image_store_pin(fixture->store, STR("a"), &image), 0);
    assert_int_equal(image_store_pins(fixture->store, fixture->arena, &names), 0);
    assert_int_equal(names.n, 2);
    assert_string_equal(names.items[0].ptr, "a");
    assert_int_equal(image_store_unpin(fixture->store, STR("a")), 0);
    assert_int_equal(image_store_unpin(fixture->store, STR("a")), 0);
    assert_int_equal(image_store_pins(fixture->store, fixture->arena, &names), 0);
    assert_int_equal(names.n, 1);

    // While garbage is marked nobody may pin; and what is gone cannot be pinned.
    ImageStore *other;
    assert_int_equal(image_store_open(fixture->directory, &other), 0);
    assert_int_equal(flock(other->lock, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(image_store_pin(fixture->store, STR("b"), &image), IMAGE_STORE_E_BUSY);
    image_store_free(other);
    assert_int_equal(image_store_pin(fixture->store, STR("b"), &image), 0);
    const char *layer = store_layer_path(fixture->arena, digest(fixture->arena, 'd'));
    assert_int_equal(renameat(fixture->store->root, layer, fixture->store->root, "tmp/gone"), 0);
    assert_int_equal(image_store_pin(fixture->store, STR("c"), &image), IMAGE_STORE_E_NOT_FOUND);
}

static void test_newer_format_is_refused(void **state) {
    Fixture *fixture = *state;
    ImageStore *again;
    put(fixture, "format", "seapod-image-store 2\n");
    assert_int_equal(image_store_open(fixture->directory, &again), IMAGE_STORE_E_NEWER);
    put(fixture, "format", "something else\n");
    assert_int_equal(image_store_open(fixture->directory, &again), -EBADMSG);
}

static void test_store_is_private(void **state) {
    Fixture *fixture = *state;
    struct stat status;
    assert_int_equal(fstat(fixture->store->root, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700); // set-user-ID programs lie in there
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_resolve_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resolve_by_digest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resolve_by_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_layer_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_newer_format_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_is_private, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

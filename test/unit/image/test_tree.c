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
#include <sys/stat.h>
#include <unistd.h>

#include "image/tree.h"

static void test_clean_paths(void **state) {
    static const struct {
        const char *path;
        int error;
        const char *clean;
    } cases[] = {
        {"a", 0, "a"},
        {"./a/./b/", 0, "a/b"},
        {"/a//b", 0, "a/b"},
        {"a/../b", 0, "b"},
        {"a/b/../../c", 0, "c"},
        {".", 0, ""},
        {"/", 0, ""},
        {"a/..", 0, ""},
        {"ab/cd/..", 0, "ab"},
        {"...", 0, "..."},
        {"..", TREE_E_ESCAPES, NULL},
        {"a/../..", TREE_E_ESCAPES, NULL},
        {"", TREE_E_PATH, NULL},
        {"/../a", TREE_E_ESCAPES, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _arena_free_ Arena *arena = arena_new();
        Str clean = STR("untouched");
        assert_int_equal(tree_clean_path(arena, str_from(cases[i].path), &clean), cases[i].error);
        if (cases[i].clean)
            assert_string_equal(arena_cstr(arena, clean), cases[i].clean);
    }
    _arena_free_ Arena *arena = arena_new();
    char *text = arena_alloc(arena, 5000);
    memset(text, 'a', 5000);
    Str clean;
    assert_int_equal(tree_clean_path(arena, str_of(text, 5000), &clean), TREE_E_PATH);
    assert_int_equal(tree_clean_path(arena, str_of(text, 256), &clean), TREE_E_PATH); // NAME_MAX
    assert_int_equal(tree_clean_path(arena, str_of(text, 255), &clean), 0);
    assert_int_equal(tree_clean_path(arena, str_of("a\0b", 3), &clean), TREE_E_PATH);
}

typedef struct Fixture {
    char path[64];
    int outer, root; // the tree is `path`/tree
} Fixture;

static int setup(void **state) {
    Fixture *fixture = calloc(1, sizeof(*fixture));
    snprintf(fixture->path, sizeof(fixture->path), "/tmp/image-tree-XXXXXX");
    assert_non_null(mkdtemp(fixture->path));
    fixture->outer = open(fixture->path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(fixture->outer, "tree", 0755), 0);
    fixture->root = openat(fixture->outer, "tree", O_PATH | O_DIRECTORY);
    assert_true(fixture->root >= 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    Fixture *fixture = *state;
    assert_int_equal(tree_remove(fixture->outer, "tree"), 0);
    assert_int_equal(faccessat(fixture->outer, "tree", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    close(fixture->root);
    close(fixture->outer);
    assert_int_equal(rmdir(fixture->path), 0); // so nothing was left beside the tree either
    free(fixture);
    return 0;
}

// Makes the directory and says where it is, as the kernel sees it from outside.
static void assert_opens_as(Fixture *fixture, const char *path, const char *expected) {
    int fd = tree_open_directory(fixture->root, str_from(path), true);
    assert_true(fd >= 0);
    struct stat opened, wanted;
    assert_int_equal(fstat(fd, &opened), 0);
    assert_int_equal(fstatat(fixture->outer, expected, &wanted, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(opened.st_ino, wanted.st_ino);
    close(fd);
}

static void make_link(Fixture *fixture, const char *target, const char *name) {
    assert_int_equal(symlinkat(target, fixture->root, name), 0);
}

static void test_directories_stay_inside(void **state) {
    Fixture *fixture = *state;
    assert_opens_as(fixture, "", "tree");
    assert_opens_as(fixture, "a/b/c", "tree/a/b/c");
    make_link(fixture, "/", "slash");
    assert_opens_as(fixture, "slash/a", "tree/a");
    make_link(fixture, "../../../..", "up");
    assert_opens_as(fixture, "up/a/b", "tree/a/b");
    make_link(fixture, "/new/place", "absolute");
    assert_opens_as(fixture, "absolute/x", "tree/new/place/x");
    make_link(fixture, "../../other/place", "a/b/relative");
    assert_opens_as(fixture, "a/b/relative/x", "tree/other/place/x");
    make_link(fixture, "../../../../far/up", "a/far");
    assert_opens_as(fixture, "a/far", "tree/far/up");
    make_link(fixture, "second", "first");
    make_link(fixture, "/third", "second");
    assert_opens_as(fixture, "first/x", "tree/third/x");
}

static void test_what_cannot_be_a_directory(void **state) {
    Fixture *fixture = *state;
    make_link(fixture, "circle-b", "circle-a");
    make_link(fixture, "circle-a", "circle-b");
    assert_int_equal(tree_open_directory(fixture->root, STR("circle-a/x"), true), -ELOOP);
    make_link(fixture, "grows/x", "grows");
    assert_true(tree_open_directory(fixture->root, STR("grows"), true) < 0);
    assert_int_equal(mknodat(fixture->root, "file", S_IFREG | 0600, 0), 0);
    assert_int_equal(tree_open_directory(fixture->root, STR("file/x"), true), -ENOTDIR);
    assert_int_equal(tree_open_directory(fixture->root, STR("missing"), false), -ENOENT);
}

static void test_removes_any_depth(void **state) {
    Fixture *fixture = *state;
    int fd = openat(fixture->root, ".", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdirat(fd, "d", 0), 0);
        assert_int_equal(mkdirat(fd, "empty", 0755), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    close(fd);
    assert_int_equal(tree_remove(fixture->root, "missing"), 0);
    make_link(fixture, "/", "slash");
    assert_int_equal(tree_remove(fixture->root, "slash"), 0); // the link, not where it leads
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_paths),
        cmocka_unit_test_setup_teardown(test_directories_stay_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_a_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removes_any_depth, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/atomic_writer.h"
#include "node/subpath.h"

#define NOW 1790000000000000000LL

typedef struct Fixture {
    char directory[64];
    Arena *arena;
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    snprintf(f->directory, sizeof f->directory, "/tmp/seapod-writer-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->arena = arena_new();
    *state = f;
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    return remove(path);
}

static int teardown(void **state) {
    Fixture *f = *state;
    nftw(f->directory, remove_entry, 32, FTW_DEPTH | FTW_PHYS);
    arena_free(f->arena);
    free(f);
    return 0;
}

static const char *path(Fixture *f, const char *name) {
    return arena_printf(f->arena, "%s/%s", f->directory, name).ptr;
}

static int write_files(Fixture *f, const AtomicFile *files, size_t n) {
    AtomicFiles all = {.items = files, .n = n, .group = -1};
    Str message = STR("");
    return atomic_write(f->arena, f->directory, &all, NOW, &message);
}

static void assert_content(Fixture *f, const char *name, const char *expected) {
    char text[256] = "";
    FILE *file = fopen(path(f, name), "r");
    if (!file)
        fail_msg("%s: %s", name, strerror(errno));
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static const char *link_of(Fixture *f, const char *name) {
    char target[256];
    ssize_t n = readlink(path(f, name), target, sizeof target);
    return n < 0 ? "" : arena_str(f->arena, str_of(target, (size_t)n)).ptr;
}

static size_t count(Fixture *f) { // entries of the volume's directory
    DIR *directory = opendir(f->directory);
    assert_non_null(directory);
    size_t n = 0;
    while (readdir(directory))
        n++;
    closedir(directory);
    return n - 2;
}

static void test_layout(void **state) {
    Fixture *f = *state;
    AtomicFile files[] = {{STR("a"), STR("1"), 0644, 0},
                          {STR("dir/b"), STR("2"), 0400, 0},
                          {STR("dir//./deep/c"), STR(""), 0777, 0}};
    mode_t mask = umask(077);
    assert_int_equal(write_files(f, files, 3), 0);
    umask(mask);
    assert_content(f, "a", "1");
    assert_content(f, "dir/b", "2");
    assert_content(f, "dir/deep/c", "");
    assert_string_equal(link_of(f, "a"), "..data/a");
    assert_string_equal(link_of(f, "dir"), "..data/dir");
    const char *data = link_of(f, "..data");
    assert_memory_equal(data, "..2026_09_21_", 13);
    struct stat status;
    assert_int_equal(stat(path(f, "dir/b"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0400);
    assert_int_equal(stat(path(f, "dir/deep/c"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0777);
    assert_int_equal(stat(path(f, data), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0755);
    assert_int_equal(count(f), 4); // a, dir, ..data, ..TIME
}

static void test_update(void **state) {
    Fixture *f = *state;
    AtomicFile first[] = {{STR("a"), STR("1"), 0644, 0}, {STR("b/x"), STR("2"), 0644, 0}};
    AtomicFile second[] = {{STR("a"), STR("one"), 0644, 0}, {STR("c"), STR("3"), 0644, 0}};
    assert_int_equal(write_files(f, first, 2), 0);
    const char *data = link_of(f, "..data");
    int opened = open(path(f, "a"), O_RDONLY);
    assert_int_equal(write_files(f, first, 2), 0);
    assert_string_equal(link_of(f, "..data"), data); // nothing changed, nothing is written
    assert_int_equal(write_files(f, second, 2), 0);
    assert_string_not_equal(link_of(f, "..data"), data);
    assert_content(f, "a", "one");
    assert_content(f, "c", "3");
    assert_int_equal(access(path(f, "b"), F_OK), -1);
    assert_int_equal(count(f), 4);
    char c;
    assert_int_equal(read(opened, &c, 1), 1); // who reads the old version goes on reading it
    assert_int_equal(c, '1');
    close(opened);
    assert_int_equal(write_files(f, NULL, 0), 0);
    assert_int_equal(count(f), 2);
    // One file less is a change too.
    assert_int_equal(write_files(f, second, 2), 0);
    assert_int_equal(write_files(f, second, 1), 0);
    assert_int_equal(access(path(f, "c"), F_OK), -1);
    AtomicFile twice[] = {{STR("a"), STR("x"), 0644, 0}, {STR("./a"), STR("y"), 0644, 0}};
    assert_int_equal(write_files(f, twice, 2), 0);
    assert_content(f, "a", "y");
}

static void test_after_crash(void **state) {
    Fixture *f = *state;
    AtomicFile files[] = {{STR("a"), STR("1"), 0644, 0}};
    assert_int_equal(write_files(f, files, 1), 0);
    assert_int_equal(mkdir(path(f, "..2020_01_01_00_00_00.1"), 0755), 0);
    assert_int_equal(mkdir(path(f, "..2020_01_01_00_00_00.1/x"), 0755), 0);
    assert_int_equal(symlink("..2020_01_01_00_00_00.1", path(f, "..data_tmp")), 0);
    files[0].data = STR("2");
    assert_int_equal(write_files(f, files, 1), 0);
    assert_content(f, "a", "2");
    assert_int_equal(count(f), 3);
}

static void test_bad_paths(void **state) {
    Fixture *f = *state;
    char name[300];
    memset(name, 'n', sizeof name);
    const Str bad[] = {STR(""),     STR("/a"),     STR(".."),        STR("a/../b"), STR("..a"),
                       STR("../x"), STR("./..b"),  {name, 256},      STR("."),      STR("a\0b"),
                       STR("a/.."), STR("..data"), STR("..data/etc")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        AtomicFile files[] = {{STR("fine"), STR("1"), 0644, 0}, {bad[i], STR("1"), 0644, 0}};
        if (write_files(f, files, 2) != -EINVAL)
            fail_msg("%.*s was accepted", STR_ARG(bad[i]));
        assert_int_equal(count(f), 0); // nothing is half-written
    }
    AtomicFile good[] = {{STR("a..b/..c"), STR("1"), 0644, 0}, {{name, 255}, STR("1"), 0644, 0}};
    assert_int_equal(write_files(f, good, 2), 0);
    assert_content(f, "a..b/..c", "1");
    AtomicFile clash[] = {{STR("x"), STR("1"), 0644, 0}, {STR("x/y"), STR("1"), 0644, 0}};
    assert_true(write_files(f, clash, 2) < 0);
    assert_content(f, "a..b/..c", "1"); // the old version stays
}

static void test_owners(void **state) {
    Fixture *f = *state;
    if (geteuid() != 0)
        skip();
    AtomicFile file = {STR("d/token"), STR("t"), 0600, 1234};
    AtomicFiles all = {.items = &file, .n = 1, .group = 4321};
    Str message;
    assert_int_equal(atomic_write(f->arena, f->directory, &all, NOW, &message), 0);
    struct stat status;
    assert_int_equal(stat(path(f, "d/token"), &status), 0);
    assert_int_equal(status.st_uid, 1234);
    assert_int_equal(status.st_gid, 4321);
    assert_int_equal(status.st_mode & 07777, 0640);
    const char *directories[] = {"", "d", "..data"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(stat(path(f, directories[i]), &status), 0);
        assert_int_equal(status.st_gid, 4321);
        assert_int_equal(status.st_mode & (S_ISGID | 0550), S_ISGID | 0550);
    }
}

// Sub-paths --------------------------------------------------------------------------------------

static int try_open(Fixture *f, const char *name, bool make) {
    int fd = -1, error = subpath_open(f->directory, str_from(name), make, &fd);
    if (!error)
        close(fd);
    return error;
}

static void test_sub_paths(void **state) {
    Fixture *f = *state;
    assert_int_equal(mkdir(path(f, "volume"), 02750), 0);
    assert_int_equal(chmod(path(f, "volume"), 02750), 0);
    char volume[sizeof f->directory + 8];
    snprintf(volume, sizeof volume, "%s/volume", f->directory);
    assert_int_equal(mkdir(path(f, "volume/in"), 0755), 0);
    close(open(path(f, "volume/file"), O_CREAT | O_WRONLY, 0644));
    close(open(path(f, "outside"), O_CREAT | O_WRONLY, 0644));
    assert_int_equal(symlink("in", path(f, "volume/link")), 0);
    assert_int_equal(symlink("../outside", path(f, "volume/up")), 0);
    assert_int_equal(symlink("../../outside", path(f, "volume/in/far")), 0);
    assert_int_equal(symlink("/etc", path(f, "volume/root")), 0);
    assert_int_equal(symlink("/proc/self/fd/0", path(f, "volume/magic")), 0);
    assert_int_equal(symlink("nowhere", path(f, "volume/dangling")), 0);
    Fixture inner = *f;
    snprintf(inner.directory, sizeof inner.directory, "%.*s/volume", 50, f->directory);
    f = &inner;
    const struct {
        const char *path;
        int error;
    } cases[] = {
        {"in", 0},
        {"file", 0},
        {"link", 0},
        {"./in/", 0},
        {".", 0},
        {"up", -EXDEV},
        {"in/far", -EXDEV},
        {"root", -EXDEV},
        {"root/passwd", -EXDEV},
        {"magic", -EXDEV},
        {"..", -EINVAL},
        {"in/../file", -EINVAL},
        {"/in", -EINVAL},
        {"", -EINVAL},
        {"none", -ENOENT},
        {"file/x", -ENOTDIR},
        {"dangling", -ENOENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (try_open(f, cases[i].path, false) != cases[i].error)
            fail_msg("%s: %s", cases[i].path, strerror(-try_open(f, cases[i].path, false)));
    mode_t mask = umask(077);
    assert_int_equal(try_open(f, "link/new/deep", true), 0);
    umask(mask);
    struct stat status;
    assert_int_equal(stat(path(f, "in/new/deep"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 02750);
    assert_int_equal(try_open(f, "root/new", true), -EXDEV);
    assert_int_equal(access("/etc/new", F_OK), -1);
    assert_int_equal(try_open(f, "dangling", true), -ENOENT);
    assert_int_equal(try_open(f, "file/x", true), -ENOTDIR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update, setup, teardown),
        cmocka_unit_test_setup_teardown(test_after_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sub_paths, setup, teardown),
    };
    return cmocka_run_group_tests_name("atomic_writer", tests, NULL, NULL);
}

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "node/image_user.h"

static const Str passwd = STR("root:x:0:0:root:/root:/bin/sh\n"
                              "# a comment\n"
                              "bad:x:notanumber:3::/:/bin/sh\n"
                              "web:x:33:34:www:/var/www:/bin/false\r\n"
                              "1234:x:77:78::/:/bin/sh\n"
                              "last:x:5:6::/:/bin/sh");
static const Str group = STR("root:x:0:\nwww:x:34:\nlog:x:40:web,other\nextra:x:41:other,web\n"
                             "deep:x:42:root\nshort\n");

static int find(Arena *arena, ImageUserQuery query, ImageUser *user, Str *message) {
    *message = STR("");
    return image_user_find(arena, passwd, group, &query, user, message);
}

static void test_by_name_and_number(void **state) {
    static const struct {
        int64_t uid, gid;
        const char *user;
        uint32_t want_uid, want_gid;
        size_t want_groups;
    } cases[] = {
        {-1, -1, "", 0, 0, 1},          {-1, -1, "root", 0, 0, 1},
        {-1, -1, "web", 33, 34, 2},     {-1, -1, "33", 33, 34, 2},
        {-1, -1, "web:log", 33, 40, 2}, {-1, -1, "web:7", 33, 7, 2},
        {-1, -1, "99", 99, 0, 0},       {-1, -1, "99:98", 99, 98, 0},
        {-1, -1, "1234", 77, 78, 0},    {-1, -1, "last", 5, 6, 0},
        {33, -1, "root", 33, 34, 2},    {33, 50, "", 33, 50, 2},
        {0, -1, "web", 0, 0, 1},        {4294967294, -1, "", 4294967294, 0, 0},
        {-1, 50, "web:log", 33, 50, 2},
    };
    _arena_free_ Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ImageUser user;
        Str message;
        ImageUserQuery query = {
            .uid = cases[i].uid, .gid = cases[i].gid, .user = str_from(cases[i].user)};
        assert_int_equal(find(arena, query, &user, &message), 0);
        assert_int_equal(user.uid, cases[i].want_uid);
        assert_int_equal(user.gid, cases[i].want_gid);
        assert_int_equal(user.n_groups, cases[i].want_groups);
    }
}

static void test_unknown(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ImageUser user;
    Str message;
    ImageUserQuery query = {.uid = -1, .gid = -1, .user = STR("ghost")};
    assert_int_equal(find(arena, query, &user, &message), -ENOENT);
    assert_string_equal(message.ptr,
                        "unable to find user ghost: no matching entries in passwd file");
    query.user = STR("web:ghosts");
    assert_int_equal(find(arena, query, &user, &message), -ENOENT);
    assert_string_equal(message.ptr,
                        "unable to find group ghosts: no matching entries in group file");
    query.user = STR("99999999999");
    assert_int_equal(find(arena, query, &user, &message), -ENOENT);
    query = (ImageUserQuery){.uid = 1LL << 40, .gid = -1};
    assert_int_equal(find(arena, query, &user, &message), -EINVAL);
}

static void test_groups(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ImageUser user;
    Str message;
    int64_t more[] = {40, 500, 500, 0};
    ImageUserQuery query = {
        .uid = 33, .gid = -1, .supplemental_groups = more, .n_supplemental_groups = 4};
    assert_int_equal(find(arena, query, &user, &message), 0);
    assert_int_equal(user.n_groups, 4); // 40 41 500 0
    assert_int_equal(user.groups[2], 500);
    query.strict_groups = true;
    assert_int_equal(find(arena, query, &user, &message), 0);
    assert_int_equal(user.n_groups, 3);
    more[3] = -1;
    assert_int_equal(find(arena, query, &user, &message), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_name_and_number),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

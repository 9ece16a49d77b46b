// The JSONPath of printer columns. Most cases are those of client-go's util/jsonpath/jsonpath_test.go.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "../kinds/road.h"
#include "schema/json_path.h"

static const char store[] =
    "{'Name':'jsonpath','Book':[{'Category':'reference','Author':'Nigel Rees','Title':'Sayings of the Century','Price':8.95},"
    "{'Category':'fiction','Author':'Evelyn Waugh','Title':'Sword of Honour','Price':12.99}],"
    "'Bicycle':[{'Color':'red','Price':19.95,'IsNew':true},{'Color':'green','Price':20.01,'IsNew':false}],"
    "'Labels':{'engieer':10,'web/html':15,'k8s-app':20},"
    "'status':{'conditions':[{'type':'Other','status':'False'},{'type':'Ready','status':'True'}]}}";

static const struct {
    const char *path, *found; // NULL: nothing
} found[] = {
    {".Name", "'jsonpath'"},
    {"$.Name", "'jsonpath'"},
    {".Labels.web/html", "15"},
    {".Labels['k8s-app']", "20"},
    {".Labels.k8s-app", "20"},
    {".Book[0].Author", "'Nigel Rees'"},
    {".Book[-1].Author", "'Evelyn Waugh'"},
    {".Book[1:].Title", "'Sword of Honour'"},
    {".Book[0:2:2].Title", "'Sayings of the Century'"},
    {".Book[5].Title", NULL},
    {".Bicycle[*].Color", "'red'"},
    {".Bicycle[1].IsNew", "false"},
    {"..Price", "8.95"},
    {"..Color", "'red'"},
    {".Book[?(@.Price > 10)].Title", "'Sword of Honour'"},
    {".Bicycle[?(@.IsNew==true)].Color", "'red'"},
    {".Bicycle[?(@.Price>=20)].Color", "'green'"},
    {".Bicycle[?(@.Color!='red')].Price", "20.01"},
    {".Book[?(@.Missing)].Title", NULL},
    {".Book[?(@.Price)].Title", "'Sayings of the Century'"},
    {".Book['Author','Title']", NULL},
    {".Labels['none','engieer']", "10"},
    {".status.conditions[?(@.type==\"Ready\")].status", "'True'"},
    {".status.conditions[?(@.type=='Ready')].status", "'True'"},
    {".none.at.all", NULL},
    {".Name.deeper", NULL},
    {".", NULL}, // the whole
};

static void test_found(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *root = road_parse(arena, store);
    for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
        Str message = STR_NONE;
        JsonPath *path = json_path_new(arena, str_from(found[i].path), &message);
        if (!path)
            fail_msg("%s: %.*s", found[i].path, STR_ARG(message));
        const Value *value = json_path_first(path, root);
        if (!strcmp(found[i].path, "."))
            assert_ptr_equal(value, root);
        else if (found[i].found)
            road_assert_json(arena, value, found[i].found);
        else if (value)
            fail_msg("%s finds something", found[i].path);
    }
}

static void test_escaped_names(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *root = road_parse(arena, "{'metadata':{'annotations':{'example.com/x':'y'}}}");
    Str message;
    const char *const paths[] = {".metadata.annotations.example\\.com/x", ".metadata.annotations['example.com/x']"};
    for (size_t i = 0; i < 2; i++)
        road_assert_json(arena, json_path_first(json_path_new(arena, str_from(paths[i]), &message), root), "'y'");
}

static void test_refused(void **state) {
    static const char *const bad[] = {".a[",     ".a[0",   ".a['b]", ".a[x]",         ".a[?(@.b==)]", ".a[?(@.b=='c']",
                                      ".a[0:1:0]", ".a}.b", ".a[99999999999]", ".a b",  ".a[?(@.b==nope)]"};
    _arena_free_ Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Str message = STR_NONE;
        if (json_path_new(arena, str_from(bad[i]), &message))
            fail_msg("%s is taken", bad[i]);
        assert_true(message.len > 0);
    }
    Str message = STR_NONE;
    char *wide = memset(arena_alloc(arena, 5000), 'a', 5000);
    assert_null(json_path_new(arena, str_of(wide, 5000), &message));
    Str many = STR("");
    for (int i = 0; i < 100; i++)
        many = arena_concat(arena, (Str[]){many, STR(".a")}, 2, STR(""));
    assert_null(json_path_new(arena, many, &message));
    Str deep = STR("@.x");
    for (int i = 0; i < 20; i++)
        deep = arena_printf(arena, "@.a[?(%.*s)]", STR_ARG(deep));
    assert_null(json_path_new(arena, deep, &message));
}

// Every step multiplies: the search ends all the same.
static void test_bounded(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *root = value_new_array(arena);
    for (int i = 0; i < 100; i++) {
        Value *inner = value_new_array(arena);
        for (int j = 0; j < 100; j++)
            value_push(arena, inner, value_new_int(arena, j));
        value_push(arena, root, inner);
    }
    Str message;
    JsonPath *path = json_path_new(arena, STR("......[?(@.a)][*]..x"), &message);
    if (path)
        assert_null(json_path_first(path, root));
    path = json_path_new(arena, STR("..[*]..[*]..[*]..[*].x"), &message);
    assert_non_null(path);
    assert_null(json_path_first(path, root));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_escaped_names),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

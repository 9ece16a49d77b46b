// What differs between two pods, in words: upstream shows a diff of its Go structs there.

#include "kinds/pod.h"
#include "schema/value_index.h"

#define MAX_LINES 40
#define MAX_BYTES 200 // of one value
#define MAX_TEXT (1024 * 1024)

typedef struct Difference {
    Arena *arena;
    Buf text;
    unsigned lines;
} Difference;

static void compare(Difference *difference, const Value *old, const Value *now, const Path *path);

static void line(Difference *difference, char sign, const Path *path, const Value *value) {
    if (!value || difference->lines > MAX_LINES)
        return;
    if (difference->lines++ == MAX_LINES) {
        buf_str(&difference->text, STR("  ...\n"));
        return;
    }
    _buf_deinit_ Buf json = BUF_INIT(MAX_BYTES);
    value_write_json(value, &json);
    buf_char(&difference->text, sign);
    buf_char(&difference->text, ' ');
    buf_str(&difference->text, path_str(difference->arena, path));
    buf_str(&difference->text, STR(": "));
    buf_str(&difference->text, buf_view(&json));
    buf_str(&difference->text, json.failed ? STR("...\n") : STR("\n"));
}

static void compare_objects(Difference *difference, const Value *old, const Value *now,
                            const Path *path) {
    _value_index_deinit_ ValueIndex before = value_index(old), after = value_index(now);
    for (uint32_t i = 0; i < old->n; i++) {
        const Member *other = value_index_find(&after, old->members[i].key);
        compare(difference, old->members[i].value, other ? other->value : NULL,
                PATH(path, old->members[i].key));
    }
    for (uint32_t i = 0; i < now->n; i++)
        if (!value_index_find(&before, now->members[i].key))
            line(difference, '+', PATH(path, now->members[i].key), now->members[i].value);
}

static void compare_arrays(Difference *difference, const Value *old, const Value *now,
                           const Path *path) {
    for (uint32_t i = 0; i < old->n || i < now->n; i++)
        compare(difference, i < old->n ? old->items[i] : NULL, i < now->n ? now->items[i] : NULL,
                PATH_INDEX(path, i));
}

static void compare(Difference *difference, const Value *old, const Value *now, const Path *path) {
    if (difference->lines > MAX_LINES || value_equal(old, now))
        return;
    if (old && now && old->kind == VALUE_OBJECT && now->kind == VALUE_OBJECT) {
        compare_objects(difference, old, now, path);
    } else if (old && now && old->kind == VALUE_ARRAY && now->kind == VALUE_ARRAY) {
        compare_arrays(difference, old, now, path);
    } else {
        line(difference, '-', path, old);
        line(difference, '+', path, now);
    }
}

Str pod_difference(Arena *arena, const Value *old, const Value *now) {
    Difference difference = {.arena = arena, .text = BUF_INIT(MAX_TEXT)};
    compare(&difference, old, now, &pod_spec_path);
    Str text = arena_str(arena, buf_view(&difference.text));
    buf_deinit(&difference.text);
    return text.ptr ? text : STR("");
}

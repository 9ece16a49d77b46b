#include "schema/list_index.h"

#define SHORT 16

static const Value *identity(const ListIndex *index, const Value *item) {
    return index->key.len ? value_get(item, index->key) : item;
}

// A string stands for itself, anything else for its JSON after a byte that no string starts with
// (it is no UTF-8).
static void put_key(Buf *buf, const Value *value) {
    if (value->kind == VALUE_STRING) {
        buf_str(buf, value->string);
        return;
    }
    buf_char(buf, '\xff');
    value_write_json(value, buf);
}

static void insert(ListIndex *index, size_t position) {
    const Value *value = identity(index, index->list->items[position]);
    if (!value)
        return;
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
    put_key(&buf, value);
    void *before = map_put(index->map, buf_view(&buf), (void *)(position + 1));
    if (before) // the first one counts
        map_put(index->map, buf_view(&buf), before);
}

static void build(ListIndex *index) {
    index->map = map_new();
    for (size_t i = 0; i < index->list->n; i++)
        insert(index, i);
}

ListIndex list_index(const Value *list, Str key) {
    ListIndex index = {.list = list, .key = key};
    if (list && list->n > SHORT)
        build(&index);
    return index;
}

void list_index_deinit(ListIndex *index) {
    map_free(index->map);
}

ptrdiff_t list_index_find(const ListIndex *index, const Value *value) {
    if (!value || !index->list)
        return -1;
    if (!index->map) {
        for (uint32_t i = 0; i < index->list->n; i++) {
            const Value *candidate = identity(index, index->list->items[i]);
            if (candidate && value_equal(candidate, value))
                return i;
        }
        return -1;
    }
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
    put_key(&buf, value);
    return (ptrdiff_t)map_get(index->map, buf_view(&buf)) - 1;
}

void list_index_added(ListIndex *index) {
    if (index->map)
        insert(index, index->list->n - 1);
    else if (index->list->n > SHORT)
        build(index);
}

#include "schema/path.h"

// With `dotted`, map keys look like members, as in Kubernetes' strict decoding errors.
static void write_path(Buf *buf, const Path *path, bool dotted) {
    if (!path)
        return;
    write_path(buf, path->parent, dotted);
    if (path->index >= 0) {
        buf_printf(buf, "[%ld]", path->index);
    } else if (path->keyed && !dotted) {
        buf_char(buf, '[');
        buf_str(buf, path->name);
        buf_char(buf, ']');
    } else if (path->name.ptr) {
        if (buf->len)
            buf_char(buf, '.');
        buf_str(buf, path->name);
    }
}

static Str render(Arena *arena, const Path *path, bool dotted) {
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    write_path(&buf, path, dotted);
    return arena_str(arena, buf_view(&buf));
}

Str path_str(Arena *arena, const Path *path) {
    return render(arena, path, false);
}

void value_paths_add(Arena *arena, ValuePaths *paths, const Path *path) {
    if (!paths || paths->n >= VALUE_PATHS_MAX)
        return;
    Str text = render(arena, path, true);
    for (size_t i = 0; i < paths->n; i++)
        if (str_eq(paths->paths[i], text))
            return;
    paths->paths =
        arena_grow(arena, paths->paths, paths->n * sizeof(Str), (paths->n + 1) * sizeof(Str));
    paths->paths[paths->n++] = text;
}

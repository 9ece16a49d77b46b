// $(VAR) references in command lines, values and subPathExpr: third_party/forked/golang/expansion.
#include "base/buf.h"
#include "node/environment.h"

#define EXPANDED_MAX (4 * 1024 * 1024)

static const RuntimePair *find_last(const RuntimePair *env, size_t n, Str name) {
    for (size_t i = n; i-- > 0;)
        if (str_eq(env[i].name, name))
            return &env[i];
    return NULL;
}

Str environment_expand_with(Arena *arena, Str text, Str (*value)(void *user, Str name),
                            void *user) {
    if (str_find(text, '$') < 0)
        return text;
    Buf buf = BUF_INIT(EXPANDED_MAX);
    size_t i = 0;
    while (i < text.len) {
        if (text.ptr[i] != '$' || i + 1 == text.len) {
            buf_char(&buf, text.ptr[i++]);
            continue;
        }
        char next = text.ptr[i + 1];
        Str rest = str_slice(text, i + 2, text.len);
        ptrdiff_t end = next == '(' ? str_find(rest, ')') : -1;
        if (next == '$') // "$$(VAR)" is the text "$(VAR)"
            buf_char(&buf, '$');
        else if (end < 0) {
            buf_char(&buf, '$');
            buf_char(&buf, next);
        } else {
            Str name = str_slice(rest, 0, (size_t)end), found = value(user, name);
            if (found.ptr)
                buf_str(&buf, found);
            else
                buf_str(&buf, str_slice(text, i, i + 3 + (size_t)end));
            i += (size_t)end + 1;
        }
        i += 2;
    }
    Str expanded = buf.failed ? text : arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return expanded;
}

typedef struct Pairs {
    const RuntimePair *env;
    size_t n;
} Pairs;

static Str value_of(void *user, Str name) {
    const Pairs *pairs = user;
    const RuntimePair *pair = find_last(pairs->env, pairs->n, name);
    return pair ? pair->value : STR_NONE;
}

Str environment_expand(Arena *arena, Str text, const RuntimePair *env, size_t n) {
    Pairs pairs = {env, n};
    return environment_expand_with(arena, text, value_of, &pairs);
}

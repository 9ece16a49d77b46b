#include "api/auth/static_tokens.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"

struct StaticTokens {
    Arena *arena;
    Map *users; // token -> User
};

#define MAX_COLUMNS 16

// Takes one column off a line (RFC 4180): plain up to a comma, or in quotes, where "" is one quote.
static bool take_column(Arena *arena, Str *line, Str *ret) {
    if (!str_starts_with(*line, STR("\""))) {
        *ret = str_cut(line, ',');
        return true;
    }
    char *text = arena_alloc(arena, line->len);
    size_t len = 0;
    for (size_t i = 1; i < line->len; i++) {
        if (line->ptr[i] != '"') {
            text[len++] = line->ptr[i];
        } else if (i + 1 < line->len && line->ptr[i + 1] == '"') {
            text[len++] = line->ptr[i++];
        } else {
            Str rest = str_slice(*line, i + 1, line->len);
            *ret = str_of(text, len);
            if (rest.len && rest.ptr[0] != ',')
                return false;
            *line = rest.len ? str_slice(rest, 1, rest.len) : STR_NONE;
            return true;
        }
    }
    return false;
}

static void add_user(StaticTokens *tokens, Str token, Str name, Str uid, Str groups) {
    Arena *arena = tokens->arena;
    size_t n = 0, most = 2;
    for (size_t i = 0; i < groups.len; i++)
        most += groups.ptr[i] == ',';
    Str *list = arena_array_of(arena, Str, most);
    while (groups.ptr && groups.len) {
        Str group = str_trim(str_cut(&groups, ','));
        if (group.len)
            list[n++] = group;
    }
    list[n++] = STR("system:authenticated");
    User *user = arena_new_of(arena, User);
    *user = (User){.name = name, .uid = uid, .groups = list, .n_groups = n};
    if (map_put(tokens->users, token, user))
        log_warn("api", "a token comes twice in the token file", "user=%.*s", STR_ARG(name));
}

StaticTokens *static_tokens_new(Arena *arena, Str text, Str *ret_message) {
    Arena *own = arena_new();
    StaticTokens *tokens = arena_new_of(own, StaticTokens);
    tokens->arena = own;
    tokens->users = map_new();
    Str rest = arena_str(own, text);
    int number = 0;
    while (rest.ptr && rest.len) {
        Str line = str_trim(str_cut(&rest, '\n'));
        Str columns[MAX_COLUMNS] = {{0}};
        size_t n = 0;
        number++;
        if (!line.len)
            continue;
        bool good = true;
        while (good && line.ptr && n < MAX_COLUMNS)
            good = take_column(own, &line, &columns[n++]);
        if (!good || n < 3) {
            *ret_message = good ? arena_printf(arena,
                                               "must have at least 3 columns (token, user name, "
                                               "user uid), found %zu in line %d",
                                               n, number)
                                : arena_printf(arena, "a quote in line %d does not end", number);
            static_tokens_free(tokens);
            return NULL;
        }
        if (columns[0].len)
            add_user(tokens, columns[0], columns[1], columns[2],
                     n > 3 ? columns[3] : STR_NONE);
        else
            log_warn("api", "a line of the token file has no token", "line=%d", number);
    }
    return tokens;
}

void static_tokens_free(StaticTokens *tokens) {
    if (!tokens)
        return;
    map_free(tokens->users);
    arena_free(tokens->arena);
}

const User *static_tokens_find(const StaticTokens *tokens, Str token) {
    return tokens && token.len ? map_get(tokens->users, token) : NULL;
}

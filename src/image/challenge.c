#include "image/challenge.h"

// tchar of RFC 9110.
static bool is_token_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_space(Str *rest) {
    while (rest->len > 0 && (rest->ptr[0] == ' ' || rest->ptr[0] == '\t'))
        *rest = str_slice(*rest, 1, rest->len);
}

static void skip_commas(Str *rest) {
    skip_space(rest);
    while (rest->len > 0 && rest->ptr[0] == ',') {
        *rest = str_slice(*rest, 1, rest->len);
        skip_space(rest);
    }
}

static Str take_token(Str *rest) {
    size_t n = 0;
    while (n < rest->len && is_token_char(rest->ptr[n]))
        n++;
    Str token = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, n, rest->len);
    return token;
}

// A quoted string, its backslashes resolved. False when it does not end.
static bool take_quoted(Arena *arena, Str *rest, Str *ret) {
    char *text = arena_alloc(arena, rest->len + 1);
    size_t len = 0;
    for (size_t i = 1; i < rest->len; i++) {
        char c = rest->ptr[i];
        if (c == '"') {
            text[len] = '\0';
            *ret = str_of(text, len);
            *rest = str_slice(*rest, i + 1, rest->len);
            return true;
        }
        if (c == '\\' && i + 1 < rest->len)
            c = rest->ptr[++i];
        text[len++] = c;
    }
    return false;
}

static void set_parameter(Challenge *challenge, Str name, Str value) {
    const struct {
        const char *name;
        Str *place;
    } known[] = {{"realm", &challenge->realm},
                 {"service", &challenge->service},
                 {"scope", &challenge->scope},
                 {"error", &challenge->error}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_eq_nocase(name, str_from(known[i].name)))
            *known[i].place = value;
}

// NAME=VALUE. False when there is none at the front: the next challenge begins, or nonsense does.
static bool take_parameter(Arena *arena, Str *rest, Challenge *challenge) {
    Str at = *rest, value;
    Str name = take_token(&at);
    skip_space(&at);
    if (name.len == 0 || at.len == 0 || at.ptr[0] != '=')
        return false;
    at = str_slice(at, 1, at.len);
    skip_space(&at);
    if (at.len > 0 && at.ptr[0] == '"') {
        if (!take_quoted(arena, &at, &value))
            return false;
    } else {
        value = arena_str(arena, take_token(&at));
    }
    set_parameter(challenge, name, value);
    *rest = at;
    return true;
}

size_t challenge_parse(Arena *arena, Str value, Challenge challenges[CHALLENGES_MAX]) {
    size_t n = 0;
    Str rest = value;
    skip_commas(&rest);
    while (n < CHALLENGES_MAX && rest.len > 0) {
        Challenge challenge = {.scheme = arena_str(arena, take_token(&rest))};
        if (challenge.scheme.len == 0)
            break;
        skip_space(&rest);
        while (take_parameter(arena, &rest, &challenge))
            skip_commas(&rest);
        skip_commas(&rest);
        challenges[n++] = challenge;
    }
    return n;
}

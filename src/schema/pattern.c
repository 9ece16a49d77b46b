// Regular expressions of custom kinds. Upstream has Go's RE2 syntax and linear time; here PCRE2 is
// kept to what both know, and every match gets steps in proportion to its text.

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "schema/structural.h"

#define STEPS_LEAST 2000
#define STEPS_PER_BYTE 64
#define HEAP_KIB 2048
#define REPEAT_MAX 1000 // Go's bound on x{n}

struct Pattern {
    pcre2_code *code;
    Str text;
};

static void free_code(void *code) {
    pcre2_code_free(code);
}

// What PCRE2 takes and Go refuses. Returns the offending part, or STR_NONE.
static Str foreign_group(Str rest) {
    static const char *const heads[] = {"(?=", "(?!", "(?<=", "(?<!", "(?>", "(?|", "(?#", "(?R",
                                        "(?&", "(?(", "(?P=", "(?P>", "(?'", "(?+", "(?C", "(*"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (str_starts_with(rest, str_from(heads[i])))
            return str_slice(rest, 0, strlen(heads[i]));
    if (str_starts_with(rest, STR("(?")) && rest.len > 2 && rest.ptr[2] >= '0' &&
        rest.ptr[2] <= '9')
        return str_slice(rest, 0, 3);
    return STR_NONE;
}

static bool is_one_of(char c, const char *set) {
    return c && strchr(set, c) != NULL;
}

// x{n} with a count beyond Go's bound.
static bool repeats_too_often(Str rest) {
    long number = 0;
    size_t i = 1;
    for (; i < rest.len && (rest.ptr[i] == ',' || (rest.ptr[i] >= '0' && rest.ptr[i] <= '9'));
         i++) {
        number = rest.ptr[i] == ',' ? 0 : number * 10 + (rest.ptr[i] - '0');
        if (number > REPEAT_MAX)
            return true;
    }
    return false;
}

static Str foreign_syntax(Arena *arena, Str text) {
    bool in_class = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i], next = i + 1 < text.len ? text.ptr[i + 1] : 0;
        Str rest = str_slice(text, i, text.len);
        if (c == '\\') {
            if (is_one_of(next, "123456789") || is_one_of(next, "GKRXhHNZegkouLlU"))
                return arena_printf(arena, "invalid escape sequence: `\\%c`", next);
            if (next == 'Q') // up to \E nothing counts
                while (i + 1 < text.len &&
                       !str_starts_with(str_slice(text, i, text.len), STR("\\E")))
                    i++;
            i++;
        } else if (in_class) {
            in_class = c != ']';
        } else if (c == '[') {
            in_class = true;
            i += next == '^';
            if (i + 1 < text.len && text.ptr[i + 1] == ']')
                i++; // a literal one
        } else if (c == '(') {
            Str group = foreign_group(rest);
            if (group.ptr)
                return arena_printf(arena, "invalid or unsupported Perl syntax: `%.*s`",
                                    STR_ARG(group));
        } else if (is_one_of(c, "*+?}") && next == '+') {
            return arena_printf(arena, "invalid nested repetition operator: `%c+`", c);
        } else if (c == '{' && repeats_too_often(rest)) {
            size_t end = 1;
            while (end < rest.len && rest.ptr[end - 1] != '}')
                end++;
            return arena_printf(arena, "invalid repeat count: `%.*s`",
                                STR_ARG(str_slice(rest, 0, end)));
        }
    }
    return STR_NONE;
}

static Str refusal(Arena *arena, Str text, int code, size_t offset) {
    switch (code) {
    case PCRE2_ERROR_MISSING_CLOSING_PARENTHESIS:
        return arena_printf(arena, "missing closing ): `%.*s`", STR_ARG(text));
    case PCRE2_ERROR_UNMATCHED_CLOSING_PARENTHESIS:
        return arena_printf(arena, "unexpected ): `%.*s`", STR_ARG(text));
    case PCRE2_ERROR_MISSING_SQUARE_BRACKET: {
        ptrdiff_t at = str_find_last(text, '[');
        return arena_printf(arena, "missing closing ]: `%.*s`",
                            STR_ARG(str_slice(text, at < 0 ? 0 : (size_t)at, text.len)));
    }
    case PCRE2_ERROR_QUANTIFIER_INVALID: {
        size_t at = offset && offset <= text.len ? offset - 1 : 0;
        return arena_printf(arena, "missing argument to repetition operator: `%.*s`",
                            STR_ARG(str_slice(text, at, text.len ? at + 1 : at)));
    }
    default: {
        PCRE2_UCHAR message[160];
        pcre2_get_error_message(code, message, sizeof message);
        return arena_printf(arena, "%s: `%.*s`", (const char *)message, STR_ARG(text));
    }
    }
}

Pattern *pattern_new(Arena *arena, Str text, Str *ret_message) {
    Str foreign = foreign_syntax(arena, text);
    int code = 0;
    PCRE2_SIZE offset = 0;
    if (text.len > PATTERN_MAX_BYTES)
        foreign = arena_printf(arena, "expression too large");
    pcre2_code *compiled = NULL;
    if (!foreign.ptr)
        compiled = pcre2_compile((PCRE2_SPTR)text.ptr, text.len,
                                 PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &code,
                                 &offset, NULL);
    if (!compiled) {
        Str why = foreign.ptr ? foreign : refusal(arena, text, code, offset);
        *ret_message = arena_printf(arena, "error parsing regexp: %.*s", STR_ARG(why));
        return NULL;
    }
    arena_defer(arena, free_code, compiled);
    Pattern *pattern = arena_new_of(arena, Pattern);
    *pattern = (Pattern){compiled, arena_str(arena, text)};
    return pattern;
}

bool pattern_matches(const Pattern *pattern, Str text) {
    size_t steps = STEPS_LEAST + text.len * STEPS_PER_BYTE;
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    bool matches = false;
    if (context && data) {
        pcre2_set_match_limit(context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
        pcre2_set_heap_limit(context, HEAP_KIB);
        matches =
            pcre2_match(pattern->code, (PCRE2_SPTR)text.ptr, text.len, 0, 0, data, context) >= 0;
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    return matches;
}

Str pattern_text(const Pattern *pattern) {
    return pattern->text;
}

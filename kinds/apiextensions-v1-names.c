#include "kinds/custom_resource.h"
#include "kinds/tree.h"
#include "schema/format.h"

Str crd_problems(Arena *arena, FieldFormat format, Str text) {
    FormatProblems problems = format_check(arena, format, text);
    return arena_concat(arena, problems.messages, problems.n, STR(","));
}

static void check_label(FieldErrors *errors, Str text, const Path *path) {
    Str problems = crd_problems(errors->arena, FORMAT_DNS_LABEL_1035, text);
    if (problems.len)
        field_invalid(errors, path, text, arena_cstr(errors->arena, problems));
}

static void check_kind(FieldErrors *errors, Str text, const Path *path) {
    char *lower = arena_cstr(errors->arena, text);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c |= 0x20;
    Str problems = crd_problems(errors->arena, FORMAT_DNS_LABEL_1035, str_of(lower, text.len));
    if (problems.len)
        field_invalid(errors, path, text,
                      arena_printf(errors->arena,
                                   "may have mixed case, but should otherwise match: %.*s",
                                   STR_ARG(problems))
                          .ptr);
}

static void check_list(FieldErrors *errors, const Value *names, const char *list,
                       const Path *path) {
    for (uint32_t i = 0; i < tree_count(names, list); i++)
        check_label(errors, tree_string(tree_item(names, list, i)),
                    PATH_INDEX(PATH(path, str_from(list)), i));
}

void crd_check_names(FieldErrors *errors, const Value *names, const Path *path, bool required) {
    static const char *const order[] = {"plural", "singular", "kind", "listKind"};
    for (size_t i = 0; required && i < 4; i++)
        if (!tree_has_string(names, order[i]))
            field_required(errors, PATH(path, str_from(order[i])), "");
    for (size_t i = 0; i < 4; i++) {
        Str text = value_string_at(names, order[i]);
        if (text.len && i < 2)
            check_label(errors, text, PATH(path, str_from(order[i])));
        else if (text.len)
            check_kind(errors, text, PATH(path, str_from(order[i])));
    }
    check_list(errors, names, "shortNames", path);
    Str kind = value_string_at(names, "kind"), list_kind = value_string_at(names, "listKind");
    if (kind.len && str_eq(kind, list_kind))
        field_invalid(errors, PATH(path, STR("listKind")), list_kind,
                      "kind and listKind may not be the same");
    check_list(errors, names, "categories", path);
}

#include "cmd/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "schema/value.h"

#define MAX_CONFIG (1024 * 1024)

static void __attribute__((noreturn, format(printf, 2, 3)))
fail(const char *verb, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "seapod %s: ", verb);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

static void print_help(const char *verb, const char *usage, const Option *options, size_t n) {
    printf("Usage: seapod %s %s\n\n", verb, usage);
    for (size_t i = 0; i < n; i++) {
        int width =
            printf("  --%s %s", options[i].name, options[i].argument ? options[i].argument : "");
        printf("%*s%s\n", width < 34 ? 34 - width : 1, "", options[i].help);
    }
}

static const Option *find(const Option *options, size_t n, Str name) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(str_from(options[i].name), name))
            return &options[i];
    return NULL;
}

static void list_add(Arena *arena, OptionList *list, Str item) {
    list->items =
        arena_grow(arena, list->items, list->n * sizeof(Str), (list->n + 1) * sizeof(Str));
    list->items[list->n++] = item;
}

// Returns what is wrong, or NULL.
static const char *assign(Arena *arena, const Option *option, Str text) {
    switch (option->kind) {
    case OPTION_FLAG:
        if (!str_eq(text, STR("true")) && !str_eq(text, STR("false")))
            return "takes true or false";
        *(bool *)option->target = str_eq(text, STR("true"));
        return NULL;
    case OPTION_STRING:
        *(Str *)option->target = arena_str(arena, text);
        return NULL;
    case OPTION_NUMBER:
        return str_to_i64(text, option->target) == 0 ? NULL : "takes a number";
    case OPTION_LIST:
        list_add(arena, option->target, arena_str(arena, text));
        return NULL;
    }
    return NULL;
}

static int read_file(Arena *arena, const char *path, Str *ret) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    char *data = arena_alloc(arena, MAX_CONFIG);
    size_t len = 0;
    for (;;) {
        ssize_t got = read(fd, data + len, MAX_CONFIG - len);
        if (got < 0) {
            int error = -errno;
            close(fd);
            return error;
        }
        len += (size_t)got;
        if (got == 0 || len == MAX_CONFIG)
            break;
    }
    close(fd);
    *ret = str_of(data, len);
    return len == MAX_CONFIG ? -EFBIG : 0;
}

static Str scalar_text(Arena *arena, const Value *value) {
    if (value->kind == VALUE_STRING)
        return value->string;
    if (value->kind == VALUE_BOOL)
        return value->boolean ? STR("true") : STR("false");
    if (value->kind == VALUE_INT)
        return arena_printf(arena, "%lld", (long long)value->integer);
    return STR_NONE;
}

static void assign_setting(Arena *arena, const char *verb, const char *path, const Option *option,
                           const Value *value) {
    const Value *const one[] = {value};
    const Value *const *items = one;
    size_t n = 1;
    if (option->kind == OPTION_LIST && value->kind == VALUE_ARRAY) {
        items = (const Value *const *)value->items;
        n = value->n;
    }
    for (size_t i = 0; i < n; i++) {
        Str text = scalar_text(arena, items[i]);
        const char *wrong =
            text.ptr ? assign(arena, option, text) : "has a value of the wrong type";
        if (wrong)
            fail(verb, "config %s: setting \"%s\" %s", path, option->name, wrong);
    }
}

static void read_config(Arena *arena, const char *verb, const char *path, const Option *options,
                        size_t n) {
    Str text;
    int error = read_file(arena, path, &text);
    if (error)
        fail(verb, "config %s: %s", path, strerror(-error));
    Value *config;
    ParseError parse_error;
    if (value_parse_yaml(arena, text, NULL, &config, &parse_error) != 0)
        fail(verb, "config %s: %.*s", path, STR_ARG(parse_error.message));
    if (config->kind == VALUE_NULL)
        return;
    if (config->kind != VALUE_OBJECT)
        fail(verb, "config %s: expected settings as \"name: value\"", path);
    for (uint32_t i = 0; i < config->n; i++) {
        const Option *option = find(options, n, config->members[i].key);
        if (!option || str_eq(config->members[i].key, STR("config")))
            fail(verb, "config %s: unknown setting \"%.*s\"", path,
                 STR_ARG(config->members[i].key));
        assign_setting(arena, verb, path, option, config->members[i].value);
    }
}

typedef struct Given { // one occurrence on the command line
    const Option *option;
    Str value;
} Given;

static size_t scan(Arena *arena, const char *verb, const char *usage, const Option *options,
                   size_t n, int argc, char **argv, OptionList *positional, Given *given) {
    size_t n_given = 0;
    for (int i = 1; i < argc; i++) {
        Str word = str_from(argv[i]);
        if (!str_starts_with(word, STR("--")) || word.len == 2) {
            if (word.len == 2 && str_starts_with(word, STR("--")))
                continue;
            if (str_eq(word, STR("-h"))) {
                print_help(verb, usage, options, n);
                exit(0);
            }
            if (!positional)
                fail(verb, "unexpected argument \"%s\" (see seapod %s --help)", argv[i], verb);
            list_add(arena, positional, word);
            continue;
        }
        Str value = str_slice(word, 2, word.len), name = value;
        ptrdiff_t equals = str_find(value, '=');
        if (equals >= 0) {
            name = str_slice(value, 0, (size_t)equals);
            value = str_slice(value, (size_t)equals + 1, value.len);
        } else
            value = STR_NONE;
        if (str_eq(name, STR("help"))) {
            print_help(verb, usage, options, n);
            exit(0);
        }
        const Option *option = find(options, n, name);
        if (!option)
            fail(verb, "unknown flag \"--%.*s\" (see seapod %s --help)", STR_ARG(name), verb);
        if (!value.ptr && option->kind == OPTION_FLAG)
            value = STR("true");
        if (!value.ptr && i + 1 < argc)
            value = str_from(argv[++i]);
        if (!value.ptr)
            fail(verb, "flag --%s needs a value", option->name);
        given[n_given++] = (Given){option, value};
    }
    return n_given;
}

void options_parse(Arena *arena, const char *verb, const char *usage, const Option *options,
                   size_t n, int argc, char **argv, OptionList *positional) {
    Given *given = arena_array_of(arena, Given, argc);
    size_t n_given = scan(arena, verb, usage, options, n, argc, argv, positional, given);
    for (size_t i = 0; i < n_given; i++)
        if (str_eq(str_from(given[i].option->name), STR("config")))
            read_config(arena, verb, arena_cstr(arena, given[i].value), options, n);
    for (size_t i = 0; i < n_given; i++) // a list on the command line replaces the file's
        if (given[i].option->kind == OPTION_LIST)
            ((OptionList *)given[i].option->target)->n = 0;
    for (size_t i = 0; i < n_given; i++) {
        const char *wrong = assign(arena, given[i].option, given[i].value);
        if (wrong)
            fail(verb, "flag --%s %s", given[i].option->name, wrong);
    }
}

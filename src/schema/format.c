// The string forms of apimachinery's pkg/util/validation and pkg/api/validate/content. The regular
// expressions appear in the messages alone; the checks are written out.

#include "schema/format.h"

#include <arpa/inet.h>
#include <stdio.h>

#define LABEL_1123 "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define LABEL_KEY "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
#define REGEX(text) "regex used for validation is '" text "')"

static const char label_1123_message[] =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', " REGEX(
        LABEL_1123);
static const char subdomain_message[] =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', " REGEX(
        LABEL_1123 "(\\." LABEL_1123 ")*");
static const char label_1035_message[] =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
    "'abc-123', " REGEX("[a-z]([-a-z0-9]*[a-z0-9])?");
#define LABEL_KEY_MESSAGE                                                                          \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "    \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', " REGEX(LABEL_KEY)
static const char label_value_message[] =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value', "
    " or '12345', " REGEX("(" LABEL_KEY ")?");
static const char env_name_message[] =
    "a valid environment variable name must consist only of printable ASCII characters other "
    "than '='";
static const char config_key_message[] =
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', " REGEX("[-._a-zA-Z0-9]+");

static bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_lower_alnum(char c) {
    return is_lower(c) || is_digit(c);
}
static bool is_alnum(char c) {
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static void add(FormatProblems *problems, Str message) {
    if (problems->n < FORMAT_MAX_PROBLEMS)
        problems->messages[problems->n++] = message;
}

static void add_text(FormatProblems *problems, const char *message) {
    add(problems, str_from(message));
}

static bool is_label_1123(Str s) {
    if (!s.len || !is_lower_alnum(s.ptr[0]) || !is_lower_alnum(s.ptr[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_lower_alnum(s.ptr[i]) && s.ptr[i] != '-')
            return false;
    return true;
}

static bool is_subdomain(Str s) {
    Str rest = s;
    while (rest.ptr)
        if (!is_label_1123(str_cut(&rest, '.')))
            return false;
    return s.ptr != NULL;
}

static bool is_label_1035(Str s) {
    return is_label_1123(s) && is_lower(s.ptr[0]);
}

static bool is_label_key_name(Str s) {
    if (!s.len || !is_alnum(s.ptr[0]) || !is_alnum(s.ptr[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_alnum(s.ptr[i]) && s.ptr[i] != '-' && s.ptr[i] != '_' && s.ptr[i] != '.')
            return false;
    return true;
}

// Upstream counts in "characters" in one package and in "bytes" in the other.
static void check_length(Arena *arena, FormatProblems *problems, Str value, size_t max,
                         const char *unit) {
    if (value.len > max)
        add(problems, arena_printf(arena, "must be no more than %zu %s", max, unit));
}

static void check_label_1123(Arena *arena, FormatProblems *problems, Str value) {
    check_length(arena, problems, value, 63, "characters");
    if (!is_label_1123(value))
        add_text(problems, is_subdomain(value) ? "must not contain dots" : label_1123_message);
}

static void check_subdomain(Arena *arena, FormatProblems *problems, Str value, const char *unit) {
    check_length(arena, problems, value, 253, unit);
    if (!is_subdomain(value))
        add_text(problems, subdomain_message);
}

static void check_label_1035(Arena *arena, FormatProblems *problems, Str value) {
    check_length(arena, problems, value, 63, "characters");
    if (!is_label_1035(value))
        add_text(problems, label_1035_message);
}

static void check_label_key(Arena *arena, FormatProblems *problems, Str value) {
    ptrdiff_t slash = str_find(value, '/');
    Str name = value;
    if (slash >= 0) {
        Str prefix = str_slice(value, 0, (size_t)slash);
        name = str_slice(value, (size_t)slash + 1, value.len);
        if (str_find(name, '/') >= 0) {
            add_text(problems, "a valid label key " LABEL_KEY_MESSAGE
                               " with an optional DNS subdomain prefix and '/' (e.g. "
                               "'example.com/MyName')");
            return;
        }
        if (!prefix.len)
            add_text(problems, "prefix part must be non-empty");
        else {
            FormatProblems inner = {0};
            check_subdomain(arena, &inner, prefix, "bytes");
            for (size_t i = 0; i < inner.n; i++)
                add(problems, arena_printf(arena, "prefix part %.*s", STR_ARG(inner.messages[i])));
        }
    }
    if (!name.len)
        add_text(problems, "name part must be non-empty");
    else if (name.len > 63)
        add_text(problems, "name part must be no more than 63 bytes");
    if (!is_label_key_name(name))
        add_text(problems, "name part " LABEL_KEY_MESSAGE);
}

static void check_label_value(Arena *arena, FormatProblems *problems, Str value) {
    check_length(arena, problems, value, 63, "bytes");
    if (value.len && !is_label_key_name(value))
        add_text(problems, label_value_message);
}

static void check_port_name(FormatProblems *problems, Str value) {
    bool charset = value.len > 0, letter = false, twice = false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        charset = charset && (is_lower_alnum(c) || c == '-');
        letter = letter || is_lower(c);
        twice = twice || (i && c == '-' && value.ptr[i - 1] == '-');
    }
    if (value.len > 15)
        add_text(problems, "must be no more than 15 characters");
    if (!charset)
        add_text(problems,
                 "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    if (!letter)
        add_text(problems, "must contain at least one letter (a-z)");
    if (twice)
        add_text(problems, "must not contain consecutive hyphens");
    if (value.len && (value.ptr[0] == '-' || value.ptr[value.len - 1] == '-'))
        add_text(problems, "must not begin or end with a hyphen");
}

// Since v1.34 any printable ASCII but '=' (RelaxedEnvironmentVariableValidation).
static void check_env_name(FormatProblems *problems, Str value) {
    if (!value.len)
        add_text(problems, "environment variable name must be non-empty");
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < 0x20 || value.ptr[i] > 0x7e || value.ptr[i] == '=') {
            add_text(problems, env_name_message);
            return;
        }
}

static void check_config_key(FormatProblems *problems, Str value) {
    bool fits = value.len > 0;
    for (size_t i = 0; i < value.len; i++)
        fits = fits && (is_alnum(value.ptr[i]) || memchr("-._", value.ptr[i], 3));
    if (value.len > 253)
        add_text(problems, "must be no more than 253 characters");
    if (!fits)
        add_text(problems, config_key_message);
    if (str_eq(value, STR(".")))
        add_text(problems, "must not be '.'");
    else if (str_eq(value, STR("..")))
        add_text(problems, "must not be '..'");
    else if (str_starts_with(value, STR("..")))
        add_text(problems, "must not start with '..'");
}

static void check_ip(FormatProblems *problems, Str value) {
    char text[64];
    unsigned char address[16];
    bool fits = value.len < sizeof text && !memchr(value.ptr, '\0', value.len);
    if (fits) {
        memcpy(text, value.ptr, value.len);
        text[value.len] = '\0';
        fits = inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
    }
    if (!fits)
        add_text(problems, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

static void check_path_segment(FormatProblems *problems, Str value) {
    if (str_eq(value, STR(".")))
        add_text(problems, "may not be '.'");
    else if (str_eq(value, STR("..")))
        add_text(problems, "may not be '..'");
    else {
        if (str_find(value, '/') >= 0)
            add_text(problems, "may not contain '/'");
        if (str_find(value, '%') >= 0)
            add_text(problems, "may not contain '%'");
    }
}

FormatProblems format_check(Arena *arena, FieldFormat format, Str value) {
    FormatProblems problems = {.n = 0};
    if (!value.ptr)
        value = STR("");
    switch (format) {
    case FORMAT_NONE:
        break;
    case FORMAT_DNS_LABEL:
        check_label_1123(arena, &problems, value);
        break;
    case FORMAT_DNS_SUBDOMAIN:
        check_subdomain(arena, &problems, value, "characters");
        break;
    case FORMAT_DNS_LABEL_1035:
        check_label_1035(arena, &problems, value);
        break;
    case FORMAT_LABEL_KEY:
        check_label_key(arena, &problems, value);
        break;
    case FORMAT_LABEL_VALUE:
        check_label_value(arena, &problems, value);
        break;
    case FORMAT_PORT_NAME:
        check_port_name(&problems, value);
        break;
    case FORMAT_ENV_NAME:
        check_env_name(&problems, value);
        break;
    case FORMAT_CONFIG_KEY:
        check_config_key(&problems, value);
        break;
    case FORMAT_IP:
        check_ip(&problems, value);
        break;
    case FORMAT_ABSOLUTE_PATH:
        if (!value.len || value.ptr[0] != '/')
            add_text(&problems, "must be an absolute path");
        break;
    case FORMAT_PATH_SEGMENT:
        check_path_segment(&problems, value);
        break;
    }
    return problems;
}

bool schema_check_format(FieldErrors *errors, const Path *path, FieldFormat format, Str value) {
    FormatProblems problems = format_check(errors->arena, format, value);
    for (size_t i = 0; i < problems.n; i++)
        field_invalid(errors, path, value.ptr ? value : STR(""), problems.messages[i].ptr);
    return problems.n == 0;
}

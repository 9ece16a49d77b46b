#include "api/negotiate.h"

#include <stdlib.h>

#define MAX_CLAUSES 16
#define TEXT_TYPES "application/json, application/yaml"
#define ACCEPTED TEXT_TYPES ", " PROTOBUF_MEDIA_TYPE

typedef struct Clause {
    Str type;
    Str as, group, version;
    bool unknown_stream, pretty;
    double quality;
} Clause;

Str media_type(Str header) {
    Str rest = header;
    return str_trim(str_cut(&rest, ';'));
}

static Str unquote(Str s) {
    return s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"' ? str_slice(s, 1, s.len - 1)
                                                                    : s;
}

static Clause parse_clause(Str text) {
    Clause clause = {.quality = 1};
    clause.type = str_trim(str_cut(&text, ';'));
    while (text.ptr) {
        Str value = str_trim(str_cut(&text, ';'));
        Str key = str_trim(str_cut(&value, '='));
        value = unquote(str_trim(value));
        if (str_eq(key, STR("as")))
            clause.as = value;
        else if (str_eq(key, STR("g")))
            clause.group = value;
        else if (str_eq(key, STR("v")))
            clause.version = value;
        else if (str_eq(key, STR("stream")))
            clause.unknown_stream = value.len && !str_eq(value, STR("watch"));
        else if (str_eq(key, STR("pretty")))
            clause.pretty = str_eq(value, STR("1"));
        else if (str_eq(key, STR("q")) && value.len && value.len < 8) {
            char number[8] = {0};
            memcpy(number, value.ptr, value.len);
            clause.quality = strtod(number, NULL);
        }
    }
    return clause;
}

static bool accept_clause(const Clause *clause, Output *ret) {
    Str type = clause->type;
    bool json = str_eq(type, STR("application/json")) || str_eq(type, STR("*/*")) ||
                str_eq(type, STR("application/*"));
    bool yaml = str_eq(type, STR("application/yaml"));
    bool protobuf = str_eq(type, STR(PROTOBUF_MEDIA_TYPE));
    if ((!json && !yaml && !protobuf) || clause->unknown_stream || clause->quality <= 0)
        return false;
    *ret = (Output){.kind = OUTPUT_OBJECT, .yaml = yaml, .protobuf = protobuf};
    ret->pretty = clause->pretty;
    if (!clause->as.ptr)
        return !clause->group.ptr && !clause->version.ptr;
    if (!str_eq(clause->group, STR("meta.k8s.io")) ||
        (!str_eq(clause->version, STR("v1")) && !str_eq(clause->version, STR("v1beta1"))))
        return false;
    ret->version = clause->version;
    if (str_eq(clause->as, STR("Table")) && !protobuf)
        ret->kind = OUTPUT_TABLE;
    else if (str_eq(clause->as, STR("PartialObjectMetadata")))
        ret->kind = OUTPUT_PARTIAL;
    else if (str_eq(clause->as, STR("PartialObjectMetadataList")))
        ret->kind = OUTPUT_PARTIAL_LIST;
    else
        return false;
    return true;
}

static bool wants_pretty(const HttpRequest *request) {
    Str pretty = http_query(request, STR("pretty"));
    if (pretty.len)
        return str_eq(pretty, STR("1")) || str_eq(pretty, STR("t")) ||
               str_eq(pretty, STR("true")) || str_eq(pretty, STR("True")) ||
               str_eq(pretty, STR("TRUE")) || str_eq(pretty, STR("T"));
    Str agent = http_header(request, STR("User-Agent"));
    return str_starts_with(agent, STR("curl")) || str_starts_with(agent, STR("Wget")) ||
           str_starts_with(agent, STR("Mozilla/5.0"));
}

static ApiStatus *read_include_object(const HttpRequest *request, Output *output) {
    Str include = http_query(request, STR("includeObject"));
    output->include_object = 'M';
    if (!include.len || str_eq(include, STR("Metadata")))
        return NULL;
    if (str_eq(include, STR("None")) || str_eq(include, STR("Object"))) {
        output->include_object = include.ptr[0];
        return NULL;
    }
    return status_bad_request(
        request->arena,
        arena_printf(
            request->arena,
            "Unable to convert to Table as requested: includeObject: Invalid value: \"%.*s\": "
            "must be 'Metadata', 'Object', 'None', or empty",
            STR_ARG(include)));
}

ApiStatus *negotiate_output(const HttpRequest *request, bool protobuf, Output *ret) {
    Str accept = http_header(request, STR("Accept"));
    *ret = (Output){.kind = OUTPUT_OBJECT};
    bool found = !accept.len, json = found;
    double best = 0;
    Str rest = accept;
    for (int i = 0; accept.len && rest.ptr && i < MAX_CLAUSES; i++) {
        Clause clause = parse_clause(str_cut(&rest, ','));
        Output output;
        if (!accept_clause(&clause, &output) || (output.protobuf && (json || !protobuf)))
            continue;
        bool better = clause.quality > best || (!json && !output.protobuf);
        if (better) {
            *ret = output;
            best = clause.quality;
            found = true;
            json = !output.protobuf;
        }
    }
    if (!found)
        return status_not_acceptable(
            request->arena, protobuf
                                ? STR("only the following media types are accepted: " ACCEPTED)
                                : STR("only the following media types are accepted: " TEXT_TYPES));
    if (wants_pretty(request))
        ret->pretty = true;
    return ret->kind == OUTPUT_TABLE ? read_include_object(request, ret) : NULL;
}

Str output_media_type(const Output *output) {
    return output->protobuf ? STR(PROTOBUF_MEDIA_TYPE)
           : output->yaml   ? STR("application/yaml")
                            : STR("application/json");
}

Str output_stream_type(const Output *output) {
    return output->protobuf ? STR(PROTOBUF_MEDIA_TYPE ";stream=watch") : STR("application/json");
}

ApiStatus *negotiate_refuse_input(Arena *arena, bool protobuf) {
#define UNKNOWN_INPUT                                                                              \
    "the body of the request was in an unknown format - accepted media types include: "
    return status_unsupported_media_type(arena, protobuf ? STR(UNKNOWN_INPUT ACCEPTED)
                                                         : STR(UNKNOWN_INPUT TEXT_TYPES));
}

ApiStatus *negotiate_input(const HttpRequest *request, InputFormat *ret) {
    Str header = http_header(request, STR("Content-Type"));
    Str type = media_type(header);
    *ret = INPUT_JSON;
    // No type at all means JSON.
    if (!type.len || str_eq_nocase(type, STR("application/json")))
        return NULL;
    if (str_eq_nocase(type, STR("application/yaml"))) {
        *ret = INPUT_YAML;
        return NULL;
    }
    if (str_eq_nocase(type, STR(PROTOBUF_MEDIA_TYPE))) {
        *ret = INPUT_PROTOBUF;
        return NULL;
    }
    return negotiate_refuse_input(request->arena, true);
}

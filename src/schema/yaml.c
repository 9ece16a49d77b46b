// YAML to the tree that sigs.k8s.io/yaml would make of it: libyaml's events, YAML 1.1 scalars as
// go-yaml v2 resolves them.

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/map.h"
#include "schema/path.h"
#include "schema/value_index.h"
#include "schema/yaml_scalar.h"

#define MAX_EXPANDED 200000 // nodes that aliases and merges may add

typedef struct Anchor {
    Value *value;
    bool open; // its node is not complete
} Anchor;

typedef struct Yaml {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    Arena *arena;
    Map *anchors;
    ValuePaths *duplicates;
    ParseError *error;
    int status;
    size_t expanded;
} Yaml;

static int fail(Yaml *yaml, int status, Str message) {
    if (!yaml->status) {
        yaml->status = status;
        *yaml->error = (ParseError){.offset = yaml->parser.mark.index,
                                    .line = yaml->parser.mark.line + 1,
                                    .message = message};
    }
    return yaml->status;
}

static int fail_named(Yaml *yaml, const char *format, Str name) {
    return fail(yaml, -EBADMSG, arena_printf(yaml->arena, format, STR_ARG(name)));
}

// go-yaml counts a scanner's lines from 1 and a parser's from 0.
static int fail_syntax(Yaml *yaml) {
    const yaml_parser_t *parser = &yaml->parser;
    size_t line = parser->problem_mark.line;
    if (line)
        line += parser->error == YAML_SCANNER_ERROR;
    else
        line = parser->context_mark.line;
    const char *problem =
        parser->problem ? parser->problem : "unknown problem parsing YAML content";
    fail(yaml, -EBADMSG,
         line ? arena_printf(yaml->arena, "yaml: line %zu: %s", line, problem)
              : arena_printf(yaml->arena, "yaml: %s", problem));
    yaml->error->line = parser->problem_mark.line + 1;
    return yaml->status;
}

static void drop_event(Yaml *yaml) {
    if (yaml->has_event)
        yaml_event_delete(&yaml->event);
    yaml->has_event = false;
}

static int next_event(Yaml *yaml) {
    drop_event(yaml);
    if (!yaml_parser_parse(&yaml->parser, &yaml->event))
        return fail_syntax(yaml);
    yaml->has_event = true;
    return 0;
}

static Anchor *open_anchor(Yaml *yaml, const yaml_char_t *name, Value *value) {
    if (!name)
        return NULL;
    Anchor *anchor = arena_new_of(yaml->arena, Anchor);
    *anchor = (Anchor){.value = value, .open = true};
    map_put(yaml->anchors, str_from((const char *)name), anchor);
    return anchor;
}

static int expand(Yaml *yaml, const Value *value, int depth, Value **ret) {
    if (++yaml->expanded > MAX_EXPANDED)
        return fail(yaml, -E2BIG, STR("yaml: document contains excessive aliasing"));
    if (depth > VALUE_MAX_DEPTH)
        return fail(yaml, -E2BIG, STR("exceeded max depth"));
    Value *copy = *ret = arena_alloc(yaml->arena, sizeof *copy);
    *copy = *value;
    copy->capacity = copy->n;
    if (value->kind == VALUE_ARRAY) {
        copy->items = arena_alloc(yaml->arena, value->n * sizeof(Value *));
        for (uint32_t i = 0; i < value->n; i++)
            if (expand(yaml, value->items[i], depth + 1, &copy->items[i]))
                return yaml->status;
    } else if (value->kind == VALUE_OBJECT) {
        copy->members = arena_alloc(yaml->arena, value->n * sizeof(Member));
        for (uint32_t i = 0; i < value->n; i++) {
            copy->members[i].key = value->members[i].key;
            if (expand(yaml, value->members[i].value, depth + 1, &copy->members[i].value))
                return yaml->status;
        }
    }
    return 0;
}

static int read_alias(Yaml *yaml, int depth, Value **ret) {
    Str name = str_from((const char *)yaml->event.data.alias.anchor);
    const Anchor *anchor = map_get(yaml->anchors, name);
    if (!anchor)
        return fail_named(yaml, "yaml: unknown anchor '%.*s' referenced", name);
    if (anchor->open)
        return fail_named(yaml, "yaml: anchor '%.*s' value contains itself", name);
    return expand(yaml, anchor->value, depth, ret);
}

static int read_scalar(Yaml *yaml, Value **ret) {
    const yaml_event_t *event = &yaml->event;
    Str text = arena_str(yaml->arena, str_of(event->data.scalar.value, event->data.scalar.length));
    Str tag = str_from((const char *)event->data.scalar.tag);
    Str message = STR_NONE;
    Value *value = *ret = value_new_null(yaml->arena);
    if (!tag.ptr && !event->data.scalar.plain_implicit)
        *value = (Value){.kind = VALUE_STRING, .string = text};
    else if (yaml_resolve_scalar(yaml->arena, tag, text, value, &message))
        return fail(yaml, -EBADMSG, message);
    Anchor *anchor = open_anchor(yaml, event->data.scalar.anchor, value);
    if (anchor)
        anchor->open = false;
    return 0;
}

static int read_node(Yaml *yaml, const Path *path, int depth, Value **ret);

static int read_sequence(Yaml *yaml, const Path *parent, int depth, Value **ret) {
    Value *array = *ret = value_new_array(yaml->arena);
    Anchor *anchor = open_anchor(yaml, yaml->event.data.sequence_start.anchor, array);
    for (Path path = {.parent = parent};; path.index++) {
        Value *item = NULL;
        if (next_event(yaml))
            return yaml->status;
        if (yaml->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        if (read_node(yaml, &path, depth + 1, &item))
            return yaml->status;
        value_push(yaml->arena, array, item);
    }
    if (anchor)
        anchor->open = false;
    return 0;
}

// Later settings win, as go-yaml v2 has it: what is merged replaces what stands before the "<<".
static int merge(Yaml *yaml, ValueIndex *index, Value *object, const Value *source) {
    if (source->kind == VALUE_ARRAY) { // earlier ones take precedence
        for (uint32_t i = source->n; i-- > 0;)
            if (source->items[i]->kind != VALUE_OBJECT)
                goto wrong;
            else if (merge(yaml, index, object, source->items[i]))
                return yaml->status;
        return 0;
    }
    if (source->kind == VALUE_OBJECT) {
        for (uint32_t i = 0; i < source->n; i++)
            value_index_set(yaml->arena, index, object, source->members[i].key,
                            source->members[i].value);
        return 0;
    }
wrong:
    return fail(yaml, -EBADMSG,
                STR("yaml: map merge requires map or sequence of maps as the value"));
}

// Keys may be any scalar; JSON wants strings.
static int key_text(Yaml *yaml, const Value *key, Str *ret) {
    switch (key->kind) {
    case VALUE_STRING:
        *ret = key->string;
        return 0;
    case VALUE_BOOL:
        *ret = key->boolean ? STR("true") : STR("false");
        return 0;
    case VALUE_INT:
        *ret = arena_printf(yaml->arena, "%lld", (long long)key->integer);
        return 0;
    case VALUE_DOUBLE:
        *ret = yaml_float_text(yaml->arena, key->number);
        return 0;
    case VALUE_NULL:
        return fail(yaml, -EBADMSG, STR("unsupported map key of type: null"));
    default:
        return fail(yaml, -EBADMSG, STR("yaml: invalid map key"));
    }
}

static bool is_merge_key(const yaml_event_t *event) {
    return event->type == YAML_SCALAR_EVENT &&
           str_eq(str_of(event->data.scalar.value, event->data.scalar.length), STR("<<")) &&
           (event->data.scalar.plain_implicit ||
            (event->data.scalar.tag &&
             !strcmp((const char *)event->data.scalar.tag, "tag:yaml.org,2002:merge")));
}

static int read_mapping(Yaml *yaml, const Path *parent, int depth, Value **ret) {
    Value *object = *ret = value_new_object(yaml->arena);
    Anchor *anchor = open_anchor(yaml, yaml->event.data.mapping_start.anchor, object);
    _value_index_deinit_ ValueIndex index = value_index(object);
    bool merged = false;
    for (;;) {
        Path path = {.parent = parent, .index = -1};
        Value *key = NULL, *value = NULL;
        if (next_event(yaml))
            return yaml->status;
        if (yaml->event.type == YAML_MAPPING_END_EVENT)
            break;
        bool is_merge = is_merge_key(&yaml->event);
        if (read_node(yaml, parent, depth + 1, &key) ||
            (!is_merge && key_text(yaml, key, &path.name)) || next_event(yaml) ||
            read_node(yaml, &path, depth + 1, &value))
            return yaml->status;
        if (is_merge) {
            merged = true;
            if (merge(yaml, &index, object, value))
                return yaml->status;
            continue;
        }
        if (!merged && value_index_find(&index, path.name))
            value_paths_add(yaml->arena, yaml->duplicates, &path);
        value_index_set(yaml->arena, &index, object, path.name, value);
    }
    if (anchor)
        anchor->open = false;
    return 0;
}

// At the node's first event; leaves its last one in place.
static int read_node(Yaml *yaml, const Path *path, int depth, Value **ret) {
    if (depth > VALUE_MAX_DEPTH)
        return fail(yaml, -E2BIG, STR("exceeded max depth"));
    switch (yaml->event.type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(yaml, ret);
    case YAML_ALIAS_EVENT:
        return read_alias(yaml, depth, ret);
    case YAML_SEQUENCE_START_EVENT:
        return read_sequence(yaml, path, depth, ret);
    case YAML_MAPPING_START_EVENT:
        return read_mapping(yaml, path, depth, ret);
    default:
        return fail(yaml, -EBADMSG, STR("yaml: unexpected event"));
    }
}

// The first document; what follows it is not looked at, as in Go. Nothing at all is null.
static int read_document(Yaml *yaml, Value **ret) {
    do {
        if (next_event(yaml))
            return yaml->status;
        if (yaml->event.type == YAML_STREAM_END_EVENT) {
            *ret = value_new_null(yaml->arena);
            return 0;
        }
    } while (yaml->event.type != YAML_DOCUMENT_START_EVENT);
    if (next_event(yaml) || read_node(yaml, NULL, 0, ret))
        return yaml->status;
    return next_event(yaml); // reports what disturbs the end of the document
}

int value_parse_yaml(Arena *arena, Str text, ValuePaths *duplicates, Value **ret,
                     ParseError *ret_error) {
    if (text.len > VALUE_MAX_BYTES) {
        *ret_error =
            (ParseError){.message = arena_printf(arena, "limit is %d bytes", VALUE_MAX_BYTES)};
        return -E2BIG;
    }
    Yaml yaml = {.arena = arena, .duplicates = duplicates, .error = ret_error};
    if (!yaml_parser_initialize(&yaml.parser))
        abort();
    yaml_parser_set_input_string(&yaml.parser, (const unsigned char *)(text.ptr ? text.ptr : ""),
                                 text.len);
    yaml.anchors = map_new();
    int r = read_document(&yaml, ret);
    drop_event(&yaml);
    map_free(yaml.anchors);
    yaml_parser_delete(&yaml.parser);
    return r;
}

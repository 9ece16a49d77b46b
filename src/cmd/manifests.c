#include "cmd/manifests.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "schema/value.h"

#define FILE_MAX VALUE_MAX_BYTES
#define ANSWER_MAX (16 * 1024 * 1024)
#define RETRY (2 * NSEC_PER_SEC)
#define MAX_TRIES 60 // a kind that another document defines, a webhook that is not there yet

typedef struct Document {
    Str file, json, api_version, kind, namespace_, name;
} Document;

struct Manifests {
    Loop *loop;
    HttpClient *client;
    Arena *arena; // of the documents
    Document *documents;
    size_t n, next;
    unsigned tries;
    LoopTimer retry;
    // The call under way: first for the kind's place in the API, then the apply.
    Arena *call_arena;
    bool applying;
    int status;
    Buf body;
};

static void step(void *user);

// Files -----------------------------------------------------------------------------------------

static void add(Manifests *m, Str file, Value *object) {
    const Value *items = value_get(object, STR("items"));
    if (str_eq(value_string_at(object, "kind"), STR("List")) && items &&
        items->kind == VALUE_ARRAY) {
        for (uint32_t i = 0; i < items->n; i++)
            add(m, file, items->items[i]);
        return;
    }
    Buf buf = BUF_INIT(2 * FILE_MAX);
    value_write_json(object, &buf);
    m->documents =
        arena_grow(m->arena, m->documents, m->n * sizeof(Document), (m->n + 1) * sizeof(Document));
    m->documents[m->n++] = (Document){.file = file,
                                      .json = arena_str(m->arena, buf_view(&buf)),
                                      .api_version = value_string_at(object, "apiVersion"),
                                      .kind = value_string_at(object, "kind"),
                                      .namespace_ = value_string_at(object, "metadata.namespace"),
                                      .name = value_string_at(object, "metadata.name")};
    buf_deinit(&buf);
}

static void add_document(Manifests *m, Str file, Str text) {
    Value *object;
    ParseError error;
    if (!str_trim(text).len)
        return;
    if (value_parse_yaml(m->arena, text, NULL, &object, &error) != 0)
        log_warn("server", "manifest not understood", "file=%.*s line=%zu message=\"%.*s\"",
                 STR_ARG(file), error.line, STR_ARG(error.message));
    else if (object->kind == VALUE_OBJECT)
        add(m, file, object);
}

// Documents are parted by lines that begin with three dashes.
static void split(Manifests *m, Str file, Str text) {
    size_t begin = 0, at = 0;
    while (at < text.len) {
        Str rest = str_slice(text, at, text.len), line = str_cut(&rest, '\n');
        if (str_starts_with(line, STR("---"))) {
            add_document(m, file, str_slice(text, begin, at));
            begin = at + line.len < text.len ? at + line.len : text.len;
        }
        at += line.len + 1;
    }
    if (begin < text.len)
        add_document(m, file, str_slice(text, begin, text.len));
}

static void read_file(Manifests *m, const char *path) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool good =
        fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= FILE_MAX;
    char *text = arena_alloc(m->arena, good ? (size_t)status.st_size + 1 : 1);
    ssize_t n = good ? read(fd, text, (size_t)status.st_size) : -1;
    if (n >= 0)
        split(m, arena_str(m->arena, str_from(path)), str_of(text, (size_t)n));
    else
        log_warn("server", "manifest not read", "file=%s", path);
    if (fd >= 0)
        close(fd);
}

static int is_manifest(const struct dirent *entry) {
    Str name = str_from(entry->d_name);
    return name.ptr[0] != '.' &&
           (str_ends_with(name, STR(".yaml")) || str_ends_with(name, STR(".yml")) ||
            str_ends_with(name, STR(".json")));
}

// Applying --------------------------------------------------------------------------------------

static void done_with(Manifests *m) {
    m->next++;
    m->tries = 0;
    loop_timer_start(&m->retry, 0);
}

static void failed(Manifests *m, Str why, bool worth_a_retry) {
    const Document *document = &m->documents[m->next];
    if (worth_a_retry && ++m->tries < MAX_TRIES) {
        loop_timer_start(&m->retry, RETRY);
        return;
    }
    log_warn("server", "manifest not applied", "file=%.*s kind=%.*s name=%.*s message=\"%.*s\"",
             STR_ARG(document->file), STR_ARG(document->kind), STR_ARG(document->name),
             STR_ARG(why));
    done_with(m);
}

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    ((Manifests *)user)->status = status;
}

static void on_data(void *user, Str data) {
    buf_str(&((Manifests *)user)->body, data);
}

static void call(Manifests *m, Str method, Str target, Str body);

static Str group_path(Arena *arena, const Document *document) {
    return arena_printf(arena, "/%s/%.*s",
                        str_find(document->api_version, '/') < 0 ? "api" : "apis",
                        STR_ARG(document->api_version));
}

static void apply(Manifests *m, Arena *arena, const Value *resource) {
    const Document *document = &m->documents[m->next];
    Str place = STR("");
    if (value_bool_at(resource, "namespaced", false))
        place =
            arena_printf(arena, "/namespaces/%.*s",
                         STR_ARG(document->namespace_.len ? document->namespace_ : STR("default")));
    Str target = arena_printf(arena, "%.*s%.*s/%.*s/%.*s?fieldManager=seapod&force=true",
                              STR_ARG(group_path(arena, document)), STR_ARG(place),
                              STR_ARG(value_string_at(resource, "name")),
                              STR_ARG(http_percent_encode(arena, document->name)));
    m->applying = true;
    call(m, STR("PATCH"), target, document->json);
}

static void find_kind(Manifests *m, Arena *arena, const Value *list) {
    const Document *document = &m->documents[m->next];
    const Value *resources = value_get(list, STR("resources"));
    for (uint32_t i = 0; resources && resources->kind == VALUE_ARRAY && i < resources->n; i++) {
        const Value *resource = resources->items[i];
        if (str_eq(value_string_at(resource, "kind"), document->kind) &&
            str_find(value_string_at(resource, "name"), '/') < 0) {
            apply(m, arena, resource);
            return;
        }
    }
    failed(m, STR("there is no such kind"), true);
}

static void on_done(void *user, int error, Str message) {
    Manifests *m = user;
    Arena *arena = m->call_arena;
    m->call_arena = NULL;
    Value *answer = NULL;
    ParseError ignored;
    if (error || value_parse_json(arena, buf_view(&m->body), NULL, &answer, &ignored) != 0)
        failed(m, error ? message : STR("the answer is no JSON"), true);
    else if (m->status >= 300)
        failed(m, value_string_at(answer, "message"),
               m->status >= 500 || m->status == 429 || m->status == 409 || m->status == 404);
    else if (m->applying)
        done_with(m);
    else
        find_kind(m, arena, answer);
    arena_free(arena);
}

static void call(Manifests *m, Str method, Str target, Str body) {
    static const HttpCallEvents events = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done};
    const HttpHeader headers[] = {{STR("Accept"), STR("application/json")},
                                  {STR("Content-Type"), STR("application/apply-patch+yaml")}};
    _bytes_unref_ Bytes *bytes = body.len ? bytes_new(body.ptr, body.len) : NULL;
    HttpCallSpec spec = {.method = method,
                         .target = target,
                         .headers = headers,
                         .n_headers = body.len ? 2 : 1,
                         .body = bytes};
    m->status = 0;
    buf_deinit(&m->body);
    m->body = BUF_INIT(ANSWER_MAX);
    m->call_arena = arena_new();
    http_call(m->client, &spec, &events, m);
}

static void step(void *user) {
    Manifests *m = user;
    if (m->next == m->n) {
        log_info("server", "manifests applied", "documents=%zu", m->n);
        return;
    }
    const Document *document = &m->documents[m->next];
    if (!document->api_version.len || !document->kind.len || !document->name.len) {
        failed(m, STR("apiVersion, kind or metadata.name is missing"), false);
        return;
    }
    _arena_free_ Arena *arena = arena_new();
    m->applying = false;
    call(m, STR("GET"), group_path(arena, document), STR_NONE);
}

Manifests *manifests_apply(Loop *loop, HttpClient *client, const char *directory) {
    Manifests *m = memory_new(Manifests);
    m->loop = loop;
    m->client = client;
    m->arena = arena_new();
    loop_timer_init(&m->retry, loop, step, m);
    struct dirent **entries;
    int n = scandir(directory, &entries, is_manifest, alphasort);
    for (int i = 0; i < n; i++) {
        read_file(m, arena_printf(m->arena, "%s/%s", directory, entries[i]->d_name).ptr);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    if (m->n)
        loop_timer_start(&m->retry, 0);
    return m;
}

void manifests_free(Manifests *m) {
    if (!m)
        return;
    loop_timer_stop(&m->retry);
    http_client_free(m->client); // cancels the call
    arena_free(m->call_arena);
    buf_deinit(&m->body);
    arena_free(m->arena);
    free(m);
}

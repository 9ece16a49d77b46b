// GET of a collection: a range of ranks of the cache's tree. Pages of an older revision that the
// cache has left behind come from the store's history.

#include <inttypes.h>

#include "api/list_options.h"
#include "api/output.h"
#include "api/output_protobuf.h"
#include "api/server.h"
#include "api/verbs.h"

typedef struct Listing {
    ListOptions options;
    Str start; // the first key wanted; empty: from the beginning
    int64_t revision;
    Snapshot *root; // the snapshot that is listed
    size_t next, end;
    size_t count; // objects written
    Str last;     // key of the last object written
    bool more;    // the limit cut it
    int64_t remaining;
    Buf buf;
} Listing;

#define TABLE_BATCH 100

static void drop_listing(void *user) {
    Listing *listing = user;
    snapshot_unref(listing->root);
    buf_deinit(&listing->buf);
}

static void set_range(Listing *listing) {
    const ObjectFilter *filter = &listing->options.filter;
    char prefix[256];
    size_t len = 0;
    if (filter->namespace_.len && filter->namespace_.len < sizeof prefix - 1) {
        memcpy(prefix, filter->namespace_.ptr, filter->namespace_.len);
        prefix[filter->namespace_.len] = '/';
        len = filter->namespace_.len + 1;
    }
    snapshot_prefix(listing->root, str_of(prefix, len), &listing->next, &listing->end);
    if (listing->start.len) {
        size_t rank = snapshot_rank(listing->root, listing->start);
        listing->next = rank > listing->next ? rank : listing->next;
    }
}

// The next object that matches, or NULL at the end or the limit.
static CachedObject *next_object(Listing *listing) {
    const ListOptions *options = &listing->options;
    while (listing->next < listing->end) {
        CachedObject *object = snapshot_at(listing->root, listing->next);
        if (!filter_matches(&options->filter, object)) {
            listing->next++;
            continue;
        }
        if (options->limit > 0 && listing->count >= (size_t)options->limit) {
            listing->more = true;
            listing->remaining =
                filter_selects(&options->filter) ? -1 : (int64_t)(listing->end - listing->next);
            return NULL;
        }
        listing->next++;
        listing->count++;
        listing->last = object->key;
        return object;
    }
    return NULL;
}

// ListMeta is written last, when it is known whether more follows; JSON does not mind.
static Value *list_metadata(ApiRequest *request, const Listing *listing) {
    Arena *arena = request->arena;
    Value *metadata = value_new_object(arena);
    value_set_str(arena, metadata, STR("resourceVersion"),
                  arena_printf(arena, "%" PRId64, listing->revision));
    if (!listing->more)
        return metadata;
    value_set_str(arena, metadata, STR("continue"),
                  continue_encode(arena, listing->revision, listing->last));
    if (listing->remaining > 0)
        value_set_int(arena, metadata, STR("remainingItemCount"), listing->remaining);
    return metadata;
}

static void write_list_metadata(ApiRequest *request, Listing *listing) {
    buf_str(&listing->buf, STR("\"metadata\":"));
    value_write_json(list_metadata(request, listing), &listing->buf);
}

static void write_kind(Buf *buf, Str kind, Str group, Str version) {
    buf_printf(buf, "{\"kind\":\"%.*s\",\"apiVersion\":\"%.*s%s%.*s\",", STR_ARG(kind),
               STR_ARG(group), group.len ? "/" : "", STR_ARG(version));
}

static Value *decode_one(ApiRequest *request, Arena *arena, CachedObject *object) {
    return output_from_storage(arena, request->served, object_decode(arena, object));
}

static void write_item(ApiRequest *request, Listing *listing, CachedObject *object) {
    if (request->output.kind == OUTPUT_OBJECT &&
        request->served->resource == request->served->storage) {
        buf_char(&listing->buf, '{');
        buf_str(&listing->buf, object_json_tail(object));
        return;
    }
    Arena *arena = request->api->scratch;
    arena_reset(arena);
    Value *tree = decode_one(request, arena, object);
    if (request->output.kind != OUTPUT_OBJECT) {
        tree = output_partial(arena, request->output.version, tree);
    } else {
        value_unset(tree, STR("kind"));
        value_unset(tree, STR("apiVersion"));
    }
    value_write_json(tree, &listing->buf);
    arena_reset(arena);
}

static void write_items(ApiRequest *request, Listing *listing) {
    const Resource *resource = request->served->resource;
    if (request->output.kind == OUTPUT_OBJECT)
        write_kind(&listing->buf, resource->list_kind, resource->group, resource->version);
    else
        write_kind(&listing->buf, STR("PartialObjectMetadataList"), STR("meta.k8s.io"),
                   request->output.version);
    buf_str(&listing->buf, STR("\"items\":["));
    CachedObject *object;
    while ((object = next_object(listing))) {
        if (listing->count > 1)
            buf_char(&listing->buf, ',');
        write_item(request, listing, object);
    }
    buf_str(&listing->buf, STR("],"));
    write_list_metadata(request, listing);
    buf_char(&listing->buf, '}');
}

// Rows are made a batch at a time, so that a long table costs its text and not its trees.
static size_t write_rows(ApiRequest *request, Listing *listing, bool first) {
    const Value *trees[TABLE_BATCH];
    size_t n = 0;
    _arena_free_ Arena *arena = arena_new();
    CachedObject *object;
    while (n < TABLE_BATCH && (object = next_object(listing)))
        trees[n++] = decode_one(request, arena, object);
    if (n == 0 && !first)
        return 0;
    Value *table = output_table(request, arena, request->served, trees, n, NULL, first);
    if (first) {
        const Value *columns = value_get(table, STR("columnDefinitions"));
        buf_str(&listing->buf, STR("\"columnDefinitions\":"));
        value_write_json(columns ? columns : value_new_array(arena), &listing->buf);
        buf_str(&listing->buf, STR(",\"rows\":["));
    }
    const Value *rows = value_get(table, STR("rows"));
    for (uint32_t i = 0; rows && i < rows->n; i++) {
        if (i || !first)
            buf_char(&listing->buf, ',');
        value_write_json(rows->items[i], &listing->buf);
    }
    return n;
}

static void write_table(ApiRequest *request, Listing *listing) {
    write_kind(&listing->buf, STR("Table"), STR("meta.k8s.io"), request->output.version);
    size_t n = write_rows(request, listing, true);
    while (n == TABLE_BATCH)
        n = write_rows(request, listing, false);
    buf_str(&listing->buf, STR("],"));
    write_list_metadata(request, listing);
    buf_char(&listing->buf, '}');
}

static void send_protobuf(ApiRequest *request, Listing *listing) {
    Arena *scratch = request->api->scratch;
    CachedObject *object;
    int r = 0;
    while (r == 0 && (object = next_object(listing))) {
        arena_reset(scratch);
        r = output_protobuf_item(request, scratch, decode_one(request, scratch, object),
                                 &listing->buf);
    }
    arena_reset(scratch);
    _bytes_unref_ Bytes *body =
        r == 0 ? output_protobuf_list(request, request->arena, list_metadata(request, listing),
                                      buf_view(&listing->buf))
               : NULL;
    buf_deinit(&listing->buf);
    if (body)
        request_body(request, 200, STR(PROTOBUF_MEDIA_TYPE), body);
    else
        request_status(request, request_internal(request, "a list could not be encoded", r));
}

static void write_list(ApiRequest *request, Listing *listing) {
    listing->buf = BUF_INIT(SIZE_MAX);
    set_range(listing);
    if (request->output.protobuf) {
        send_protobuf(request, listing);
        return;
    }
    if (request->output.kind == OUTPUT_TABLE)
        write_table(request, listing);
    else
        write_items(request, listing);
    _bytes_unref_ Bytes *body = NULL;
    if (request->output.pretty) {
        Value *tree;
        ParseError error;
        Buf pretty = BUF_INIT(SIZE_MAX);
        _arena_free_ Arena *arena = arena_new();
        // A list longer than a document may be is sent as it is.
        if (value_parse_json(arena, buf_view(&listing->buf), NULL, &tree, &error) == 0) {
            output_write(tree, true, &pretty);
            body = buf_bytes(&pretty);
        }
        buf_deinit(&pretty);
    }
    if (!body)
        body = buf_bytes(&listing->buf);
    buf_deinit(&listing->buf);
    request_json(request, 200, body);
}

// ---- which snapshot

static const char expired_text[] = "The provided continue parameter is too old to display a "
                                   "consistent list result. You can start a new list "
                                   "without the continue parameter, or use the continue token in "
                                   "this response to retrieve the remainder of the "
                                   "results. Continuing with the provided token results in an "
                                   "inconsistent list - objects that were created, "
                                   "modified, or deleted between the time the first chunk was "
                                   "returned and now may show up in the list.";

static void refuse_compacted(ApiRequest *request, Listing *listing) {
    if (!listing->start.len) {
        request_status(
            request, status_expired(request->arena,
                                    STR("The resourceVersion for the provided list is too old.")));
        return;
    }
    ApiStatus *status = status_expired(request->arena, str_from(expired_text));
    Str start = listing->start;
    while (start.len && start.ptr[start.len - 1] == 0)
        start.len--;
    Value *tree = status_to_value(request->arena, status);
    value_set_str(request->arena, value_at_make(request->arena, tree, "metadata"), STR("continue"),
                  continue_encode(request->arena, -1, start));
    request_object(request, status->code, NULL, tree);
}

static void on_history(ApiRequest *request, void *user, int error, const StoreResult *result) {
    Listing *listing = user;
    if (error == STORE_E_COMPACTED) {
        refuse_compacted(request, listing);
        return;
    }
    if (error == STORE_E_FUTURE) {
        request_status(request, list_refuse_future(request, listing->revision));
        return;
    }
    if (error) {
        request_status(request, request_store_error(request, error));
        return;
    }
    for (size_t i = 0; i < result->n; i++) {
        const StoreRecord *record = &result->records[i];
        Str key = str_slice(record->key, request->served->key_prefix.len, record->key.len);
        CachedObject *object =
            object_new(request->api->scratch, cache_served(request->served->cache), key,
                       record->value, record->create_revision, record->revision);
        if (object)
            listing->root = snapshot_put(listing->root, object);
        object_unref(object);
    }
    write_list(request, listing);
}

static void list_now(ApiRequest *request, Listing *listing) {
    listing->revision = request->api->revision;
    listing->root = snapshot_ref(cache_root(request->served->cache));
    write_list(request, listing);
}

static void list_at(ApiRequest *request, Listing *listing, int64_t revision) {
    Cache *cache = request->served->cache;
    if (revision >= cache_changed(cache) && revision <= request->api->revision) {
        listing->revision = revision; // nothing has changed since
        listing->root = snapshot_ref(cache_root(cache));
        write_list(request, listing);
        return;
    }
    listing->revision = revision;
    Str prefix = request->served->key_prefix;
    if (listing->options.filter.namespace_.len)
        prefix = arena_printf(request->arena, "%.*s%.*s/", STR_ARG(prefix),
                              STR_ARG(listing->options.filter.namespace_));
    Str from = listing->start.len
                   ? arena_concat(request->arena,
                                  (Str[]){request->served->key_prefix, listing->start}, 2, STR(""))
                   : STR("");
    request_store_range(request, prefix, from, revision, 0, on_history, listing);
}

static void reached(ApiRequest *request, void *user, int error) {
    Listing *listing = user;
    if (error) {
        request_status(request, list_refuse_future(request, listing->options.revision));
    } else if (listing->options.exact ||
               (listing->options.limit > 0 && listing->options.revision > 0 &&
                !http_query(request->http, STR("resourceVersionMatch")).len)) {
        list_at(request, listing,
                listing->options.revision); // the old meaning of limit with a version
    } else {
        list_now(request, listing);
    }
}

void verb_list(ApiRequest *request) {
    Listing *listing = arena_new_of(request->arena, Listing);
    ApiStatus *refused = list_options_parse(request, false, &listing->options);
    int64_t token_revision = 0;
    if (!refused && listing->options.continue_token.len) {
        refused = continue_decode(request->arena, listing->options.continue_token, &token_revision,
                                  &listing->start);
        if (!refused && listing->options.revision)
            refused = status_bad_request(
                request->arena,
                STR("specifying resource version is not allowed when using continue"));
    }
    if (!refused && request->output.kind == OUTPUT_PARTIAL)
        refused = status_not_acceptable(
            request->arena,
            STR("you requested PartialObjectMetadata, but the requested object is a list"));
    if (refused) {
        request_status(request, refused);
        return;
    }
    arena_defer(request->arena, drop_listing, listing);
    if (token_revision > 0)
        list_at(request, listing, token_revision);
    else if (token_revision < 0)
        list_now(request, listing);
    else
        request_wait_revision(request, listing->options.revision, 3 * NSEC_PER_SEC, reached,
                              listing);
}

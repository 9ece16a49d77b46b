#include "image/output.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "image/summary.h"

#define SHOW_EVERY_NS 100000000
#define BAR_MAX 30    // characters
#define BAR_BESIDE 48 // what the rest of a line takes at most
#define BARS_MAX 64   // lines; more layers than that are not drawn

typedef struct Layer {
    char digest[72];
    uint64_t current, total;
    LayerState state, told; // `told`: in the last event
} Layer;

struct Output {
    bool json, quiet, terminal;
    Layer *layers;
    size_t n_layers, n_drawn; // `n_drawn` lines of bars are above the cursor
    int64_t shown_at;
};

static const char *const state_names[] = {[LAYER_WAITING] = "waiting",
                                          [LAYER_DOWNLOADING] = "downloading",
                                          [LAYER_UNPACKING] = "unpacking",
                                          [LAYER_DONE] = "done",
                                          [LAYER_EXISTS] = "exists"};

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

Output *output_new(bool json, bool quiet) {
    Output *output = memory_new(Output);
    output->json = json;
    output->quiet = quiet;
    output->terminal = !json && !quiet && isatty(STDERR_FILENO);
    return output;
}

void output_free(Output *output) {
    if (!output)
        return;
    free(output->layers);
    free(output);
}

static json_t *json_of(Str s) {
    json_t *value = s.ptr ? json_stringn(s.ptr, s.len) : NULL;
    return value ? value : json_null();
}

// One event, flushed: somebody waits for it.
static void tell(json_t *event) {
    json_dumpf(event, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    fflush(stdout);
    json_decref(event);
}

static json_t *event_new(const char *type) {
    json_t *event = json_object();
    json_object_set_new(event, "type", json_string(type));
    return event;
}

void output_resolved(Output *output, Str reference, Str digest) {
    if (!output->json)
        return;
    json_t *event = event_new("resolved");
    json_object_set_new(event, "reference", json_of(reference));
    json_object_set_new(event, "digest", json_of(digest));
    tell(event);
}

static void tell_layer(const Layer *layer) {
    json_t *event = event_new("layer");
    json_object_set_new(event, "digest", json_string(layer->digest));
    json_object_set_new(event, "state", json_string(state_names[layer->state]));
    json_object_set_new(event, "current", json_integer((json_int_t)layer->current));
    json_object_set_new(event, "total", json_integer((json_int_t)layer->total));
    tell(event);
}

static void format_size(char *text, size_t size, uint64_t bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit < 4)
        value /= 1000, unit++;
    snprintf(text, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void draw_layer(const Layer *layer, int bar_width) {
    char current[32], total[32], bar[BAR_MAX + 1];
    bool ended = layer->state == LAYER_DONE || layer->state == LAYER_EXISTS;
    double part = ended ? 1 : 0;
    if (!ended && layer->total)
        part = (double)layer->current / (double)layer->total;
    int filled = (int)(part * bar_width);
    for (int i = 0; i < bar_width; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[bar_width] = '\0';
    format_size(current, sizeof(current), layer->current);
    format_size(total, sizeof(total), layer->total);
    fprintf(stderr, "\r\x1b[K%.12s [%s] %-11s ", layer->digest + 7, bar, state_names[layer->state]);
    if (ended || !layer->total)
        fprintf(stderr, "%s\n", ended && layer->total ? total : current);
    else
        fprintf(stderr, "%s / %s\n", current, total);
}

static void draw(Output *output) {
    struct winsize size = {0};
    size_t n = output->n_layers < BARS_MAX ? output->n_layers : BARS_MAX;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 && n >= size.ws_row)
        n = size.ws_row - 1u;
    int bar_width = BAR_MAX; // a line that wraps would spoil the picture
    if (size.ws_col > 0 && size.ws_col < BAR_MAX + BAR_BESIDE)
        bar_width = size.ws_col > BAR_BESIDE ? size.ws_col - BAR_BESIDE : 0;
    if (output->n_drawn)
        fprintf(stderr, "\x1b[%zuA", output->n_drawn);
    for (size_t i = 0; i < n; i++)
        draw_layer(&output->layers[i], bar_width);
    output->n_drawn = n;
    fflush(stderr);
    output->shown_at = now();
}

size_t output_layer(Output *output, Str digest, uint64_t total) {
    size_t n = output->n_layers++;
    output->layers = memory_resize_array(output->layers, output->n_layers, sizeof(Layer));
    Layer *layer = &output->layers[n];
    *layer = (Layer){.total = total};
    snprintf(layer->digest, sizeof(layer->digest), "%.*s", STR_ARG(digest));
    return n;
}

void output_layer_state(Output *output, size_t number, LayerState state, uint64_t current) {
    Layer *layer = &output->layers[number];
    layer->state = state;
    layer->current = current;
    if (!output->json && !output->terminal)
        return;
    bool changed = layer->told != state || state == LAYER_EXISTS;
    if (!changed && now() - output->shown_at < SHOW_EVERY_NS)
        return;
    layer->told = state;
    if (output->terminal) {
        draw(output);
    } else {
        tell_layer(layer);
        output->shown_at = now();
    }
}

void output_image(Output *output, const Image *image, Str reference) {
    if (output->json) {
        _buf_deinit_ Buf out = BUF_INIT(4 * IMAGE_SUMMARY_MAX);
        image_summary_encode(image, true, &out);
        json_t *event = event_new("image");
        json_object_set_new(event, "reference", json_of(reference));
        json_t *summary = json_loadb(out.data, out.len, 0, NULL);
        json_object_update_new(event, summary);
        tell(event);
    } else if (output->quiet) {
        printf("%.*s\n", STR_ARG(image->id));
    } else {
        printf("%.*s %.*s\n", STR_ARG(reference), STR_ARG(image->id));
    }
}

static void print_row(Str repository, Str tag, const Image *image) {
    char size[32];
    format_size(size, sizeof(size), image->size);
    printf("%-44.*s %-20.*s %.12s  %10s\n", STR_ARG(repository), STR_ARG(tag), image->id.ptr + 7,
           size);
}

// "repo:tag" or "repo@digest", cut where the tag or digest begins.
static Str cut_repository(Str name, char separator) {
    return str_slice(name, 0, (size_t)str_find_last(name, separator));
}

static void print_image(const Image *image) {
    for (size_t i = 0; i < image->repo_tags.n; i++) {
        Str name = image->repo_tags.items[i], repository = cut_repository(name, ':');
        print_row(repository, str_slice(name, repository.len + 1, name.len), image);
    }
    for (size_t i = 0; image->repo_tags.n == 0 && i < image->repo_digests.n; i++)
        print_row(cut_repository(image->repo_digests.items[i], '@'), STR("<none>"), image);
}

void output_list(Output *output, const Image *images, size_t n) {
    if (!output->json && !output->quiet)
        printf("%-44s %-20s %-12s  %10s\n", "IMAGE", "TAG", "IMAGE ID", "SIZE");
    for (size_t i = 0; i < n; i++) {
        if (output->json)
            output_image(output, &images[i],
                         images[i].repo_tags.n ? images[i].repo_tags.items[0]
                                               : images[i].repo_digests.items[0]);
        else if (output->quiet)
            printf("%.*s\n", STR_ARG(images[i].id));
        else
            print_image(&images[i]);
    }
}

void output_removed(Output *output, Str reference) {
    if (output->json) {
        json_t *event = event_new("removed");
        json_object_set_new(event, "reference", json_of(reference));
        tell(event);
    } else if (!output->quiet) {
        printf("removed %.*s\n", STR_ARG(reference));
    }
}

void output_collected(Output *output, const DepotCollected *collected) {
    if (output->json) {
        json_t *event = event_new("collected");
        json_object_set_new(event, "layers", json_integer((json_int_t)collected->layers));
        json_object_set_new(event, "blobs", json_integer((json_int_t)collected->blobs));
        json_object_set_new(event, "records", json_integer((json_int_t)collected->records));
        json_object_set_new(event, "abandoned", json_integer((json_int_t)collected->abandoned));
        json_object_set_new(event, "bytes", json_integer((json_int_t)collected->bytes));
        tell(event);
    } else if (!output->quiet) {
        char size[32];
        format_size(size, sizeof(size), collected->bytes);
        printf("freed %s in %" PRIu64 " layers\n", size, collected->layers);
    }
}

void output_failure(Output *output, const Failure *failure) {
    static const char *const reasons[] = {
        [IMAGE_E_OTHER] = "other",         [IMAGE_E_USAGE] = "usage",
        [IMAGE_E_NOT_FOUND] = "not found", [IMAGE_E_DENIED] = "denied",
        [IMAGE_E_NETWORK] = "network",     [IMAGE_E_BAD_DATA] = "bad data"};
    if (output->json) {
        json_t *event = event_new("error");
        json_object_set_new(event, "code", json_integer(failure->code));
        json_object_set_new(event, "reason", json_string(reasons[failure->code]));
        json_object_set_new(event, "message", json_of(str_from(failure->message)));
        tell(event);
    }
    fprintf(stderr, "%s\n", failure->message);
}

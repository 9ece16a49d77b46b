// The files of `import`: which there are, and which are in the store already.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/digest.h"
#include "image/strings.h"
#include "image/verbs.h"

#define STAMP_MAX (64u << 10)

typedef struct Input {
    const char *file;
    int fd; // the caller's to close
    bool is_directory;
    struct stat status; // of a layout's index.json
} Input;

static int open_input(Job *job, const char *file, Input *ret_input) {
    bool is_stdin = strcmp(file, "-") == 0;
    *ret_input = (Input){.file = file, .fd = -1};
    int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return failure_set(job->failure, IMAGE_E_NOT_FOUND, "no such file");
    if (fd < 0 || fstat(fd, &ret_input->status) < 0)
        return failure_errno(job->failure, -errno, "cannot open it");
    ret_input->fd = fd;
    ret_input->is_directory = S_ISDIR(ret_input->status.st_mode);
    if (ret_input->is_directory)
        (void)fstatat(fd, "index.json", &ret_input->status, 0);
    return 0;
}

// What would change when the file does.
static Str stamp_head(Arena *arena, const struct stat *status) {
    return arena_printf(arena, "%" PRIu64 " %" PRIu64 " %" PRId64 ".%09ld",
                        (uint64_t)status->st_size, (uint64_t)status->st_ino,
                        (int64_t)status->st_mtim.tv_sec, status->st_mtim.tv_nsec);
}

// "imported/HEX of the path"; NULL for what has none.
static const char *stamp_path(Job *job, const Input *input) {
    char *path = strcmp(input->file, "-") ? realpath(input->file, NULL) : NULL;
    if (!path)
        return NULL;
    Str digest = sha256_of(job->arena, str_from(path));
    free(path);
    return arena_printf(job->arena, "imported/%.*s", STR_ARG(store_hex(digest))).ptr;
}

// Was this very file imported, and is all that it held still there?
static bool is_imported(Job *job, const Input *input) {
    const char *path = stamp_path(job, input);
    const ImageStore *store = depot_store(job->depot);
    Str text;
    if (!path || store_read_file(store->root, path, STAMP_MAX, job->arena, &text) != 0)
        return false;
    if (!str_eq(str_cut(&text, '\n'), stamp_head(job->arena, &input->status)))
        return false;
    while (text.len > 0) {
        Image image;
        Str manifest = str_cut(&text, '\n');
        if (!reference_is_sha256(manifest) ||
            store_read_summary(store, job->arena, manifest, &image) != 0)
            return false;
    }
    return true;
}

static int write_stamp(Job *job, const Input *input, const ImageStrings *manifests) {
    const char *path = stamp_path(job, input);
    if (!path)
        return 0;
    Str text = stamp_head(job->arena, &input->status);
    for (size_t i = 0; i < manifests->n; i++)
        text = arena_printf(job->arena, "%.*s\n%.*s", STR_ARG(text), STR_ARG(manifests->items[i]));
    return depot_put_stamp(job->depot, path, text, job->failure);
}

static int import_input(Job *job, const ImportOptions *options, const Input *input) {
    ImageStrings manifests = {0};
    if (options->only_new && is_imported(job, input))
        return 0;
    int code = import_file(job, options, input->file, input->fd, input->is_directory, &manifests);
    return !code && options->only_new ? write_stamp(job, input, &manifests) : code;
}

// The archives and layouts in a directory that is no layout itself. True when it is such a one.
static bool list_directory(Job *job, const Input *input, ImageStrings *ret_files) {
    if (!input->is_directory || faccessat(input->fd, "index.json", F_OK, 0) == 0)
        return false;
    DIR *directory = opendir(input->file);
    if (!directory)
        return false;
    struct dirent *entry;
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            image_strings_push(job->arena, ret_files,
                               arena_printf(job->arena, "%s/%s", input->file, entry->d_name));
    closedir(directory);
    image_strings_sort(ret_files);
    return true;
}

static int import_one(Job *job, const ImportOptions *options, const char *file, bool expand);

// Tells the failure of one file among others, so that the next can have the last word.
static int import_each(Job *job, const ImportOptions *options, const ImageStrings *files,
                       bool expand) {
    Failure last = {0};
    for (size_t i = 0; i < files->n; i++) {
        if (import_one(job, options, files->items[i].ptr, expand) == 0)
            continue;
        if (last.code)
            fprintf(stderr, "%s\n", last.message);
        last = *job->failure;
    }
    *job->failure = last;
    return last.code;
}

static int import_one(Job *job, const ImportOptions *options, const char *file, bool expand) {
    Input input;
    ImageStrings files = {0};
    int code = open_input(job, file, &input);
    if (!code && expand && !options->rootfs && list_directory(job, &input, &files)) {
        close(input.fd);
        return import_each(job, options, &files, false);
    }
    if (!code)
        code = import_input(job, options, &input);
    if (input.fd >= 0)
        close(input.fd);
    return code ? failure_wrap(job->failure, "failed to import %s", file) : 0;
}

int verb_import(Job *job, const ImportOptions *options) {
    depot_reap(job->depot);
    return import_each(job, options, &options->files, true);
}

#include "image/split.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Split {
    struct archive *archive;
    int output;
    Failure *failure;
} Split;

static int bad_archive(Split *split) {
    const char *text = archive_error_string(split->archive);
    return failure_set(split->failure, IMAGE_E_BAD_DATA, "cannot read the archive: %s",
                       text ? text : "unknown error");
}

static int put(Split *split, const void *data, size_t len) {
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(split->output, at, len);
        if (n < 0 && errno != EINTR)
            return failure_errno(split->failure, -errno, "cannot pass on the archive");
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int put_head(Split *split, SplitKind kind, const char *name, uint64_t size) {
    SplitHead head = {kind, (uint32_t)strlen(name), size};
    if (head.name_len > SPLIT_NAME_MAX)
        return failure_set(split->failure, IMAGE_E_BAD_DATA, "name in the archive is too long");
    int code = put(split, &head, sizeof(head));
    return code ? code : put(split, name, head.name_len);
}

static int put_content(Split *split, uint64_t size) {
    static char chunk[128 << 10];
    while (size > 0) {
        la_ssize_t n =
            archive_read_data(split->archive, chunk, size < sizeof(chunk) ? size : sizeof(chunk));
        if (n < 0)
            return bad_archive(split);
        if (n == 0)
            return failure_set(split->failure, IMAGE_E_BAD_DATA, "archive ends too early");
        int code = put(split, chunk, (size_t)n);
        if (code)
            return code;
        size -= (uint64_t)n;
    }
    return 0;
}

static int put_entry(Split *split, struct archive_entry *entry) {
    const char *name = archive_entry_pathname(entry);
    const char *link = archive_entry_hardlink(entry);
    SplitKind link_kind = link ? SPLIT_HARD_LINK : SPLIT_SYMBOLIC_LINK;
    if (!link && archive_entry_filetype(entry) == S_IFLNK)
        link = archive_entry_symlink(entry);
    if (!name || !*name)
        return failure_set(split->failure, IMAGE_E_BAD_DATA, "entry without a name in the archive");
    if (link) {
        if (strlen(link) > SPLIT_NAME_MAX)
            return failure_set(split->failure, IMAGE_E_BAD_DATA, "link in the archive is too long");
        int code = put_head(split, link_kind, name, strlen(link));
        return code ? code : put(split, link, strlen(link));
    }
    if (archive_entry_filetype(entry) != S_IFREG)
        return 0;
    int64_t size = archive_entry_size(entry);
    if (size < 0)
        return failure_set(split->failure, IMAGE_E_BAD_DATA, "negative size in the archive");
    int code = put_head(split, SPLIT_FILE, name, (uint64_t)size);
    return code ? code : put_content(split, (uint64_t)size);
}

static int split_all(Split *split, uint64_t max_entries) {
    for (uint64_t n = 0;; n++) {
        struct archive_entry *entry;
        int status = archive_read_next_header(split->archive, &entry);
        if (status == ARCHIVE_EOF)
            return 0;
        if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
            return bad_archive(split);
        if (n >= max_entries)
            return failure_set(split->failure, IMAGE_E_BAD_DATA, "too many files in the archive");
        int code = put_entry(split, entry);
        if (code)
            return code;
    }
}

int split_archive(int input, int output, uint64_t max_entries, Failure *failure) {
    Split split = {archive_read_new(), output, failure};
    assert(split.archive);
    int code = 0;
    if (archive_read_support_format_tar(split.archive) != ARCHIVE_OK ||
        archive_read_open_fd(split.archive, input, 128 << 10) != ARCHIVE_OK)
        code = bad_archive(&split);
    if (!code)
        code = split_all(&split, max_entries);
    archive_read_free(split.archive);
    return code;
}

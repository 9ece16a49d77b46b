#pragma once
// Runs a fuzz target over the files of test/fuzz/corpus/NAME, so that what a fuzzer once found
// stays found. To be included by a test after cmocka.h.

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static inline void replay_corpus(const char *name, int (*target)(const uint8_t *, size_t)) {
    const char *root = getenv("TEST_SOURCE_ROOT");
    assert_non_null(root);
    char path[4096];
    snprintf(path, sizeof(path), "%s/test/fuzz/corpus/%s", root, name);
    DIR *directory = opendir(path);
    assert_non_null(directory);
    size_t n = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        char file[8192];
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        FILE *stream = fopen(file, "rb");
        assert_non_null(stream);
        assert_int_equal(fseek(stream, 0, SEEK_END), 0);
        size_t size = (size_t)ftell(stream);
        rewind(stream);
        uint8_t *data = malloc(size + 1); // its own block, so that a sanitizer sees the end
        assert_non_null(data);
        assert_int_equal(fread(data, 1, size, stream), size);
        fclose(stream);
        target(data, size);
        free(data);
        n++;
    }
    closedir(directory);
    assert_true(n > 0);
}

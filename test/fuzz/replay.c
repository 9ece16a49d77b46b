// Runs a fuzz target over its corpus, with the unit tests and any compiler: every file of the
// directories named, and every prefix of the small ones, so that each place where input may break
// off is met.

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_LIMIT 2048 // bytes of a file whose prefixes are all run

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// From a block of exactly that size, so that AddressSanitizer sees a read past the end.
static void run(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size);
    if (size && !copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0, n;
    if (!file) {
        perror(path);
        return -1;
    }
    do {
        data = realloc(data, size + 65536);
        if (!data)
            abort();
        n = fread(data + size, 1, 65536, file);
        size += n;
    } while (n > 0);
    fclose(file);
    run(data, size);
    for (size_t i = 0; i < size && size <= PREFIX_LIMIT; i++)
        run(data, i);
    free(data);
    return 0;
}

static int run_directory(const char *path) {
    struct dirent **entries;
    int files = 0, n = scandir(path, &entries, NULL, alphasort), r = 0;
    if (n < 0) {
        perror(path);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        char name[4096];
        if (entries[i]->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
            r |= run_file(name);
            files++;
        }
        free(entries[i]);
    }
    free(entries);
    printf("%s: %d inputs\n", path, files);
    return files ? r : -1; // an empty corpus tests nothing
}

int main(int argc, char **argv) {
    int r = argc > 1 ? 0 : -1;
    for (int i = 1; i < argc; i++)
        r |= run_directory(argv[i]);
    return r ? 1 : 0;
}

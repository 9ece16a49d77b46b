// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

void scratch_make(Scratch *scratch) {
    snprintf(scratch->path, sizeof scratch->path, "/tmp/seapod-test-pki-XXXXXX");
    assert_non_null(mkdtemp(scratch->path));
}

void scratch_remove(Scratch *scratch) {
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", scratch->path);
    assert_int_equal(system(command), 0);
}

void scratch_write(const Scratch *scratch, const char *name, Str data) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", scratch->path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data.ptr, 1, data.len, file), data.len);
    fclose(file);
}

int scratch_run(const Scratch *scratch, const char *command, char *output, size_t size) {
    char line[1024];
    snprintf(line, sizeof line, "cd '%s' && { %s; } 2>&1", scratch->path, command);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t len = fread(output, 1, size - 1, pipe);
    output[len] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

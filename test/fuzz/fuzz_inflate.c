// Compressed blobs come from any registry.
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Failure failure = {0};
    int input = memfd_create("input", MFD_CLOEXEC),
        output = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert(input >= 0 && output >= 0);
    assert(write(input, data, size) == (ssize_t)size && lseek(input, 0, SEEK_SET) == 0);
    int code = inflate_stream(input, output, &failure);
    assert(code == 0 || (code == IMAGE_E_BAD_DATA && failure.message[0]));
    close(input);
    close(output);
    return 0;
}

// What the container runtime reads: an image's user files, conmon's lines and packets, records,
// /proc/self/mountinfo. The first byte chooses.

#include <stddef.h>
#include <stdint.h>

#include <assert.h>

#include "node/cgroup.h"
#include "node/conmon.h"
#include "node/image_user.h"
#include "node/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_users(Arena *arena, Str text) {
    Str group = text, message;
    Str user = str_cut(&group, 0), passwd = str_cut(&group, 0);
    ImageUserQuery query = {.uid = -1, .gid = -1, .user = user};
    ImageUser found;
    int error = image_user_find(arena, passwd.ptr ? passwd : STR(""), group.ptr ? group : STR(""),
                                &query, &found, &message);
    assert(error ? message.len > 0 : found.n_groups <= 1024);
}

static void check_record(Arena *arena, Str text) {
    Record record, again;
    if (record_parse(arena, text, &record))
        return;
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    for (size_t i = 0; i < record.n; i++)
        if (!str_eq(record.keys[i], STR("format")))
            record_put(&buf, arena_cstr(arena, record.keys[i]), record.values[i]);
    if (buf.len == 0)
        return;
    assert(record_parse(arena, buf_view(&buf), &again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 65536)
        return 0;
    _arena_free_ Arena *arena = arena_new();
    Str text = str_of(data + 1, size - 1), message, part;
    CgroupHost *host;
    int64_t pid;
    int stream;
    switch (data[0] % 5) {
    case 0:
        check_users(arena, text);
        break;
    case 1:
        check_record(arena, text);
        break;
    case 2:
        (void)!conmon_parse_sync(arena, text, &pid, &message);
        break;
    case 3:
        (void)conmon_parse_packet(text, &stream, &part);
        break;
    default:
        if (cgroup_host_parse(text, &host) == 0) {
            assert(cgroup_hierarchies(host) > 0);
            cgroup_host_free(host);
        }
    }
    return 0;
}

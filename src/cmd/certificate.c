// `seapod certificate`: a serving certificate signed by this cluster's CA, for a component that
// runs as a process of its own.
#include <errno.h>

#include "base/loop.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "pki/pki.h"

#define YEAR (365LL * 24 * 3600 * NSEC_PER_SEC)

int cmd_certificate(int argc, char **argv) {
    Arena *arena = arena_new();
    Str data_dir = STR(DEFAULT_DATA_DIR), out = STR_NONE, name = STR("system:node");
    OptionList sans = {0};
    const Option options[] = {
        {"data-dir", OPTION_STRING, &data_dir, "DIR",
         "of the cluster (default " DEFAULT_DATA_DIR ")"},
        {"out", OPTION_STRING, &out, "PATH", "writes PATH.crt and PATH.key"},
        {"name", OPTION_STRING, &name, "NAME",
         "the certificate's common name (default system:node)"},
        {"san", OPTION_LIST, &sans, "NAME", "a DNS name or IP address it is good for (repeatable)"},
    };
    options_parse(arena, "certificate", "--out PATH --san NAME...", options,
                  sizeof options / sizeof *options, argc, argv, NULL);
    if (!out.len || !sans.n) {
        cmd_fail("certificate", "--out and --san are needed");
        return 2;
    }
    Str directory = arena_printf(arena, "%.*s/pki", STR_ARG(data_dir)), text;
    if (cmd_read_file(arena, arena_printf(arena, "%.*s/ca.crt", STR_ARG(directory)).ptr, 1 << 20,
                      &text) != 0)
        return cmd_fail("certificate", "no cluster in %.*s", STR_ARG(data_dir));
    Loop *loop = loop_new();
    int64_t now = loop_wall(loop);
    PkiFiles files;
    PkiPair pair;
    int error = pki_load_or_create(arena, directory.ptr, now, &files);
    if (!error)
        error = pki_issue(arena, &files.ca, &(PkiSubject){.common_name = name}, PKI_SERVER,
                          sans.items, sans.n, now - 300 * NSEC_PER_SEC, now + YEAR, &pair);
    if (!error)
        error = cmd_write_file(arena_printf(arena, "%.*s.key", STR_ARG(out)).ptr, pair.key, 0600);
    if (!error)
        error = cmd_write_file(arena_printf(arena, "%.*s.crt", STR_ARG(out)).ptr, pair.certificate,
                               0644);
    loop_free(loop);
    return error ? cmd_fail("certificate", "%.*s: %s", STR_ARG(out), strerror(-error)) : 0;
}

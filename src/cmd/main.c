// seapod: the front door. Every verb is a file of its own.
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "http/tls.h"

static const struct {
    const char *name, *help;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"server", "run the control plane and, unless --no-node, a node", cmd_server},
    {"node", "run a node against an API server (--kubeconfig)", cmd_node},
    {"scheduler", "run the scheduler against an API server (--kubeconfig)", cmd_scheduler},
    {"controllers", "run the controllers against an API server (--kubeconfig)", cmd_controllers},
    {"image", "pull | import | list | rm | gc: this machine's images", cmd_image},
    {"kubeconfig", "print a kubeconfig for a user, signed by this cluster's CA", cmd_kubeconfig},
    {"certificate", "make a serving certificate, signed by this cluster's CA", cmd_certificate},
    {"check", "say what this host lacks for running pods (--fix mends it)", cmd_check},
    {"cleanup", "stop every container and remove every trace from the host", cmd_cleanup},
    {"version", "print the version", cmd_version},
};
#define N_VERBS (sizeof verbs / sizeof *verbs)

static void usage(FILE *to) {
    fprintf(
        to,
        "seapod %s: Kubernetes' pod system in one small program\n\nUsage: seapod VERB [FLAGS]\n\n",
        SEAPOD_VERSION);
    for (size_t i = 0; i < N_VERBS; i++)
        fprintf(to, "  %-12s %s\n", verbs[i].name, verbs[i].help);
    fprintf(to, "\n\"seapod VERB --help\" lists a verb's flags. Everything else is kubectl.\n");
}

int cmd_version(int argc, char **argv) {
    printf("seapod %s (Kubernetes v1.35)\n", SEAPOD_VERSION);
    return 0;
}

int main(int argc, char **argv) {
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 1); // a heap for each pool thread would be mostly holes
#endif
    tls_init();
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version"))
        return cmd_version(argc, argv);
    for (size_t i = 0; i < N_VERBS; i++)
        if (!strcmp(argv[1], verbs[i].name))
            return verbs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "seapod: unknown verb \"%s\" (see seapod --help)\n", argv[1]);
    return 2;
}

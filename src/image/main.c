// seapod-image: pulls, imports, lists and removes images. Started by people as `seapod image ...`
// and by the node for each pull; lives as long as that takes.

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/stage.h"
#include "image/strings.h"
#include "image/verbs.h"

// What a layer may unpack to unless told otherwise: far above what is met, far below a disk's end.
#define LAYER_BYTES_MAX (UINT64_C(64) << 30)
#define LAYER_ENTRIES_MAX UINT64_C(2000000)

typedef struct Options {
    const char *verb;
    const char *data_dir;
    bool quiet, json, help, version;
    UnpackLimits limits;
    Platform platform;
    ImportOptions import;
    Image config;
    RegistryOptions registry;
    ImageStrings credentials; // files
    ImageStrings arguments;
} Options;

enum {
    OPTION_DATA_DIR = 256,
    OPTION_JSON,
    OPTION_PLATFORM,
    OPTION_MIRROR,
    OPTION_CREDENTIALS,
    OPTION_CA_FILE,
    OPTION_NAME,
    OPTION_ROOTFS,
    OPTION_NEW,
    OPTION_ENTRYPOINT,
    OPTION_CMD,
    OPTION_ENV,
    OPTION_USER,
    OPTION_WORKDIR,
    OPTION_EXPOSE,
    OPTION_VOLUME,
    OPTION_LABEL,
    OPTION_STOP_SIGNAL,
    OPTION_MAX_LAYER_BYTES,
    OPTION_MAX_LAYER_ENTRIES,
    OPTION_VERSION,
};

static const struct option long_options[] = {
    {"data-dir", required_argument, NULL, OPTION_DATA_DIR},
    {"quiet", no_argument, NULL, 'q'},
    {"json", no_argument, NULL, OPTION_JSON},
    {"platform", required_argument, NULL, OPTION_PLATFORM},
    {"mirror", required_argument, NULL, OPTION_MIRROR},
    {"creds-file", required_argument, NULL, OPTION_CREDENTIALS},
    {"ca-file", required_argument, NULL, OPTION_CA_FILE},
    {"name", required_argument, NULL, OPTION_NAME},
    {"rootfs", no_argument, NULL, OPTION_ROOTFS},
    {"new", no_argument, NULL, OPTION_NEW},
    {"entrypoint", required_argument, NULL, OPTION_ENTRYPOINT},
    {"cmd", required_argument, NULL, OPTION_CMD},
    {"env", required_argument, NULL, OPTION_ENV},
    {"user", required_argument, NULL, OPTION_USER},
    {"workdir", required_argument, NULL, OPTION_WORKDIR},
    {"expose", required_argument, NULL, OPTION_EXPOSE},
    {"volume", required_argument, NULL, OPTION_VOLUME},
    {"label", required_argument, NULL, OPTION_LABEL},
    {"stop-signal", required_argument, NULL, OPTION_STOP_SIGNAL},
    {"max-layer-bytes", required_argument, NULL, OPTION_MAX_LAYER_BYTES},
    {"max-layer-entries", required_argument, NULL, OPTION_MAX_LAYER_ENTRIES},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {0},
};

static const char usage_text[] =
    "Usage: seapod image VERB [OPTION]...\n"
    "\n"
    "  pull REF             add an image from a registry\n"
    "      --mirror DOMAIN=URL   ask this one first (repeatable; DOMAIN * is any)\n"
    "      --creds-file FILE     a Docker config.json with credentials (repeatable)\n"
    "      --ca-file [HOST=]FILE trust these authorities besides the system's (repeatable)\n"
    "  import FILE|DIR|-... add images from `docker save`, OCI layouts (tar or directory), all "
    "also\n"
    "                       compressed with gzip or zstd; or from all archives in a directory\n"
    "      --new            pass over files that were imported so before and did not change\n"
    "      --name REF       what to call the image (repeatable; instead of the archive's names)\n"
    "      --rootfs         FILE is a tar of a root file system; the options below describe it:\n"
    "      --entrypoint ARG, --cmd ARG    one argument each time, or a JSON array\n"
    "      --env K=V, --user USER, --workdir DIR, --expose PORT[/tcp], --volume DIR,\n"
    "      --label K=V, --stop-signal SIGNAL\n"
    "  list                 show the images\n"
    "  rm REF|ID...         remove names, and what nothing uses any more\n"
    "  gc                   remove what nothing uses\n"
    "\n"
    "      --data-dir DIR   default /var/lib/seapod\n"
    "      --platform OS/ARCH[/VARIANT]   default this host's\n"
    "      --max-layer-bytes N, --max-layer-entries N   what a layer may unpack to\n"
    "      --json           one JSON object a line on stdout\n"
    "  -q, --quiet          only ids\n"
    "\n"
    "Exit codes: 0 done, 1 other, 2 usage, 3 not found, 4 denied, 5 network, 6 bad data.\n";

// One more argument, or a JSON array of them.
static int add_arguments(Arena *arena, ImageStrings *arguments, const char *text,
                         Failure *failure) {
    if (text[0] != '[') {
        image_strings_push(arena, arguments, str_from(text));
        return 0;
    }
    json_t *array = json_loads(text, 0, NULL);
    size_t i;
    json_t *value;
    bool fine = json_is_array(array);
    json_array_foreach(array, i, value) {
        fine = fine && json_is_string(value);
        if (fine)
            image_strings_push(arena, arguments,
                               arena_str(arena, str_from(json_string_value(value))));
    }
    json_decref(array);
    return fine ? 0 : failure_set(failure, IMAGE_E_USAGE, "not a JSON array of strings: %s", text);
}

static void add_label(Arena *arena, Image *config, const char *text) {
    Str value = str_from(text), name = str_cut(&value, '=');
    size_t size = sizeof(ImageLabel);
    config->labels =
        arena_grow(arena, config->labels, config->n_labels * size, (config->n_labels + 1) * size);
    config->labels[config->n_labels++] = (ImageLabel){name, value.ptr ? value : STR("")};
}

// How the image of a root file system is to be run.
static int set_config(Options *options, int option, Arena *arena, Failure *failure) {
    Image *config = &options->config;
    switch (option) {
    case OPTION_ENTRYPOINT:
        return add_arguments(arena, &config->entrypoint, optarg, failure);
    case OPTION_CMD:
        return add_arguments(arena, &config->cmd, optarg, failure);
    case OPTION_ENV:
        image_strings_push(arena, &config->env, str_from(optarg));
        break;
    case OPTION_USER:
        config->user = str_from(optarg);
        break;
    case OPTION_WORKDIR:
        config->working_dir = str_from(optarg);
        break;
    case OPTION_EXPOSE:
        image_strings_push(arena, &config->exposed_ports,
                           arena_printf(arena, "%s%s", optarg, strchr(optarg, '/') ? "" : "/tcp"));
        break;
    case OPTION_VOLUME:
        image_strings_push(arena, &config->volumes, str_from(optarg));
        break;
    case OPTION_LABEL:
        add_label(arena, config, optarg);
        break;
    case OPTION_STOP_SIGNAL:
        config->stop_signal = str_from(optarg);
        break;
    default:
        return failure_set(failure, IMAGE_E_USAGE, "unknown option (see --help)");
    }
    return 0;
}

static int set_number(uint64_t *ret, Failure *failure) {
    if (str_to_u64(str_from(optarg), ret) < 0)
        return failure_set(failure, IMAGE_E_USAGE, "not a number: %s", optarg);
    return 0;
}

static int add_mirror(Arena *arena, RegistryOptions *registry, Failure *failure) {
    size_t n = registry->n_mirrors++, size = sizeof(RegistryMirror);
    registry->mirrors = arena_grow(arena, registry->mirrors, n * size, (n + 1) * size);
    return registry_parse_mirror(arena, str_from(optarg), &registry->mirrors[n], failure);
}

static void add_authority(Arena *arena, RegistryOptions *registry) {
    size_t n = registry->n_authorities++, size = sizeof(WebAuthority);
    registry->authorities = arena_grow(arena, registry->authorities, n * size, (n + 1) * size);
    Str file = str_from(optarg), host = str_cut(&file, '=');
    registry->authorities[n] =
        file.ptr ? (WebAuthority){host, file.ptr} : (WebAuthority){STR_NONE, optarg};
}

static int set_option(Options *options, int option, Arena *arena, Failure *failure) {
    switch (option) {
    case OPTION_DATA_DIR:
        options->data_dir = optarg;
        return 0;
    case 'q':
        options->quiet = true;
        return 0;
    case OPTION_JSON:
        options->json = true;
        return 0;
    case OPTION_PLATFORM:
        if (platform_parse(str_from(optarg), &options->platform) < 0)
            return failure_set(failure, IMAGE_E_USAGE, "not a platform: %s", optarg);
        return 0;
    case OPTION_MIRROR:
        return add_mirror(arena, &options->registry, failure);
    case OPTION_CREDENTIALS:
        image_strings_push(arena, &options->credentials, str_from(optarg));
        return 0;
    case OPTION_CA_FILE:
        add_authority(arena, &options->registry);
        return 0;
    case OPTION_NAME:
        image_strings_push(arena, &options->import.names, str_from(optarg));
        return 0;
    case OPTION_ROOTFS:
        options->import.rootfs = true;
        return 0;
    case OPTION_NEW:
        options->import.only_new = true;
        return 0;
    case OPTION_MAX_LAYER_BYTES:
        return set_number(&options->limits.bytes, failure);
    case OPTION_MAX_LAYER_ENTRIES:
        return set_number(&options->limits.entries, failure);
    case 'h':
        options->help = true;
        return 0;
    case OPTION_VERSION:
        options->version = true;
        return 0;
    default:
        // Who describes how a file system is to be run, has one.
        options->import.rootfs = true;
        return set_config(options, option, arena, failure);
    }
}

static int parse_options(int argc, char **argv, Arena *arena, Options *options, Failure *failure) {
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "qh", long_options, NULL)) != -1) {
        if (option == '?')
            return failure_set(failure, IMAGE_E_USAGE,
                               "unknown option or missing value: %s (see --help)",
                               argv[optind - 1]);
        int code = set_option(options, option, arena, failure);
        if (code)
            return code;
    }
    if (optind < argc)
        options->verb = argv[optind++];
    while (optind < argc)
        image_strings_push(arena, &options->arguments, str_from(argv[optind++]));
    return 0;
}

static int want_arguments(const Options *options, size_t least, size_t most, Failure *failure) {
    if (options->arguments.n < least)
        return failure_set(failure, IMAGE_E_USAGE, "%s: an argument is missing (see --help)",
                           options->verb);
    if (options->arguments.n > most)
        return failure_set(failure, IMAGE_E_USAGE, "%s: too many arguments (see --help)",
                           options->verb);
    return 0;
}

static int run_import(Job *job, Options *options) {
    options->import.files = options->arguments;
    if (options->arguments.n > 1 && options->import.names.n > 0)
        return failure_set(job->failure, IMAGE_E_USAGE, "--name is for one file only");
    options->import.config = &options->config;
    return verb_import(job, &options->import);
}

static int run_pull(Job *job, Options *options) {
    for (size_t i = 0; i < options->credentials.n; i++) {
        int code = registry_read_config(job->arena, options->credentials.items[i].ptr,
                                        &options->registry, job->failure);
        if (code)
            return code;
    }
    return verb_pull(job, options->arguments.items[0], &options->registry);
}

static int run_list(Job *job, Options *options) {
    return verb_list(job);
}
static int run_remove(Job *job, Options *options) {
    return verb_remove(job, &options->arguments);
}
static int run_collect(Job *job, Options *options) {
    return verb_collect(job);
}

static int run_verb(Job *job, Options *options) {
    static const struct {
        const char *name;
        size_t least, most; // arguments
        int (*run)(Job *job, Options *options);
    } verbs[] = {
        {"pull", 1, 1, run_pull},  {"import", 1, SIZE_MAX, run_import},
        {"list", 0, 0, run_list},  {"rm", 1, SIZE_MAX, run_remove},
        {"gc", 0, 0, run_collect},
    };
    if (!options->verb)
        return failure_set(job->failure, IMAGE_E_USAGE, "a verb is missing (see --help)");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(options->verb, verbs[i].name) != 0)
            continue;
        int code = want_arguments(options, verbs[i].least, verbs[i].most, job->failure);
        if (!code)
            code = depot_open(options->data_dir, &job->depot, job->failure);
        if (!code)
            code = verbs[i].run(job, options);
        depot_close(job->depot);
        return code;
    }
    return failure_set(job->failure, IMAGE_E_USAGE, "unknown verb: %s (see --help)", options->verb);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--stage") == 0)
        stage_main(argc, argv);
    setlocale(LC_CTYPE, "C.UTF-8");
    umask(022);               // a layer's root is a container's "/", whoever started us
    signal(SIGPIPE, SIG_IGN); // a stage that stops tells why
    _arena_free_ Arena *arena = arena_new();
    static Failure failure;
    Options options = {.data_dir = "/var/lib/seapod",
                       .limits = {LAYER_BYTES_MAX, LAYER_ENTRIES_MAX},
                       .platform = platform_of_host()};
    int code = parse_options(argc, argv, arena, &options, &failure);
    if (!code && (options.help || options.version)) {
        fputs(options.help ? usage_text : "seapod-image " SEAPOD_VERSION "\n", stdout);
        return 0;
    }
    Output *output = output_new(options.json, options.quiet);
    if (!code) {
        Job job = {.arena = arena,
                   .output = output,
                   .limits = options.limits,
                   .platform = options.platform,
                   .failure = &failure};
        code = run_verb(&job, &options);
    }
    if (!code && (fflush(stdout) != 0 || ferror(stdout)))
        code = failure_set(&failure, IMAGE_E_OTHER, "cannot write to standard output");
    if (code)
        output_failure(output, &failure);
    output_free(output);
    return code;
}

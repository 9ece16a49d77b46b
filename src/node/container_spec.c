// From a container of the API to what the runtime is told.
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "node/environment.h"
#include "node/pod_files.h"
#include "node/resources.h"
#include "node/termination.h"

#define CONFIG_ERROR STR("CreateContainerConfigError")
#define CREATE_ERROR STR("CreateContainerError")

typedef struct Building {
    NodeAgent *agent;
    Arena *arena;
    const ContainerInputs *inputs;
    const Pod *pod;
    const Container *container;
    ContainerSpec *spec;
    ContainerMount *mounts;
    Str reason, message;
} Building;

static int __attribute__((format(printf, 4, 5)))
fail(Building *build, Str reason, int error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    build->reason = reason;
    build->message = arena_vprintf(build->arena, format, args);
    va_end(args);
    return error;
}

// Process ----------------------------------------------------------------------------------------

static int set_argv(Building *build) {
    const Container *container = build->container;
    const Image *image = build->inputs->image;
    const Str *command = container->command.items, *args = container->args.items;
    size_t n_command = container->command.len, n_args = container->args.len;
    bool expand_command = true, expand_args = true;
    if (!n_command) {
        command = image->entrypoint.items;
        n_command = image->entrypoint.n;
        expand_command = false;
        if (!n_args) { // the image's arguments belong to the image's command
            args = image->cmd.items;
            n_args = image->cmd.n;
            expand_args = false;
        }
    }
    Str *argv = arena_array_of(build->arena, Str, n_command + n_args);
    const ContainerInputs *in = build->inputs;
    size_t n = 0;
    for (size_t i = 0; i < n_command; i++)
        argv[n++] = expand_command
                        ? environment_expand(build->arena, command[i], in->env, in->n_env)
                        : command[i];
    for (size_t i = 0; i < n_args; i++)
        argv[n++] =
            expand_args ? environment_expand(build->arena, args[i], in->env, in->n_env) : args[i];
    if (!n)
        return fail(build, CREATE_ERROR, -EINVAL, "no command specified");
    build->spec->argv = argv;
    build->spec->n_argv = n;
    return 0;
}

// The image's variables first, each replaced by the pod's of the same name.
static void set_env(Building *build) {
    const ContainerInputs *in = build->inputs;
    const ImageStrings *image = &in->image->env;
    RuntimePair *env = arena_array_of(build->arena, RuntimePair, image->n + in->n_env);
    size_t n = 0;
    for (size_t i = 0; i < image->n; i++) {
        Str value = image->items[i], name = str_cut(&value, '=');
        bool replaced = false;
        for (size_t j = 0; j < in->n_env && !replaced; j++)
            replaced = str_eq(in->env[j].name, name);
        if (name.len && !replaced)
            env[n++] = (RuntimePair){name, value.ptr ? value : STR("")};
    }
    for (size_t i = 0; i < in->n_env; i++)
        env[n++] = in->env[i];
    build->spec->env = env;
    build->spec->n_env = n;
}

static const struct {
    const char *name;
    int number;
} signals[] = {
#define SIGNAL(name)                                                                               \
    { #name, name }
    SIGNAL(SIGHUP),  SIGNAL(SIGINT),    SIGNAL(SIGQUIT), SIGNAL(SIGILL),    SIGNAL(SIGTRAP),
    SIGNAL(SIGABRT), SIGNAL(SIGBUS),    SIGNAL(SIGFPE),  SIGNAL(SIGKILL),   SIGNAL(SIGUSR1),
    SIGNAL(SIGSEGV), SIGNAL(SIGUSR2),   SIGNAL(SIGPIPE), SIGNAL(SIGALRM),   SIGNAL(SIGTERM),
    SIGNAL(SIGCHLD), SIGNAL(SIGSTKFLT), SIGNAL(SIGCONT), SIGNAL(SIGSTOP),   SIGNAL(SIGTSTP),
    SIGNAL(SIGTTIN), SIGNAL(SIGTTOU),   SIGNAL(SIGURG),  SIGNAL(SIGXCPU),   SIGNAL(SIGXFSZ),
    SIGNAL(SIGPROF), SIGNAL(SIGWINCH),  SIGNAL(SIGIO),   SIGNAL(SIGVTALRM), SIGNAL(SIGPWR),
    SIGNAL(SIGSYS),
#undef SIGNAL
};

// "SIGTERM", "term", "15", "SIGRTMIN+3", "SIGRTMAX-1". 0 when it is none.
static int signal_number(Str text) {
    int64_t number;
    if (str_to_i64(text, &number) == 0)
        return number > 0 && number <= 64 ? (int)number : 0;
    if (text.len > 3 && str_eq_nocase(str_slice(text, 0, 3), STR("SIG")))
        text = str_slice(text, 3, text.len);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (str_eq_nocase(text, str_from(signals[i].name + 3)))
            return signals[i].number;
    bool low = text.len >= 5 && str_eq_nocase(str_slice(text, 0, 5), STR("RTMIN"));
    bool high = text.len >= 5 && str_eq_nocase(str_slice(text, 0, 5), STR("RTMAX"));
    if (!low && !high)
        return 0;
    int base = low ? 34 : 64; // SIGRTMIN as C libraries count it
    if (text.len == 5)
        return base;
    Str offset = str_slice(text, 6, text.len);
    if (str_to_i64(offset, &number) != 0 || number < 0 || number > 30 ||
        text.ptr[5] != (low ? '+' : '-'))
        return 0;
    return low ? base + (int)number : base - (int)number;
}

static void set_process(Building *build) {
    const Container *container = build->container;
    const Image *image = build->inputs->image;
    ContainerSpec *spec = build->spec;
    spec->working_directory =
        container->working_dir.len ? container->working_dir : image->working_dir;
    Str stop_signal = container->lifecycle ? container->lifecycle->stop_signal : STR_NONE;
    if (!stop_signal.len)
        stop_signal = image->stop_signal;
    if (stop_signal.len)
        spec->stop_signal = signal_number(stop_signal);
    spec->tty = container->tty;
    spec->stdin_open = container->stdin;
    spec->stdin_once = container->stdin_once;
    const bool *share = build->pod->spec.share_process_namespace;
    spec->share_process_namespace = share && *share;
}

// Security ---------------------------------------------------------------------------------------

static bool is_true(const bool *value) {
    return value && *value;
}

// Who the image says it runs as: a number, or -1 and a name. "USER:GROUP"; nothing means root.
static int64_t image_uid(const Image *image, Str *ret_name) {
    Str rest = image->user, user = str_cut(&rest, ':');
    int64_t uid;
    *ret_name = STR_NONE;
    if (!user.len)
        return 0;
    if (str_to_i64(user, &uid) == 0)
        return uid;
    *ret_name = user;
    return -1;
}

static int check_non_root(Building *build, const int64_t *run_as_user, const bool *non_root) {
    const ObjectMeta *meta = &build->pod->metadata;
    Str pod = arena_printf(build->arena, "%.*s_%.*s(%.*s)", STR_ARG(meta->name),
                           STR_ARG(meta->namespace), STR_ARG(meta->uid));
    Str container = build->container->name, name;
    if (!is_true(non_root))
        return 0;
    if (run_as_user && *run_as_user != 0)
        return 0;
    if (run_as_user)
        return fail(build, CONFIG_ERROR, -EPERM,
                    "container's runAsUser breaks non-root policy (pod: \"%.*s\", container: %.*s)",
                    STR_ARG(pod), STR_ARG(container));
    int64_t uid = image_uid(build->inputs->image, &name);
    if (uid == 0)
        return fail(build, CONFIG_ERROR, -EPERM,
                    "container has runAsNonRoot and image will run as root (pod: \"%.*s\", "
                    "container: %.*s)",
                    STR_ARG(pod), STR_ARG(container));
    if (name.len)
        return fail(build, CONFIG_ERROR, -EPERM,
                    "container has runAsNonRoot and image has non-numeric user (%.*s), cannot "
                    "verify user is non-root (pod: \"%.*s\", container: %.*s)",
                    STR_ARG(name), STR_ARG(pod), STR_ARG(container));
    return 0;
}

static int set_user(Building *build) {
    static const SecurityContext no_own;
    static const PodSecurityContext no_pod;
    const SecurityContext *own = build->container->security_context;
    const PodSecurityContext *pod = build->pod->spec.security_context;
    own = own ? own : &no_own;
    pod = pod ? pod : &no_pod;
    const int64_t *uid = own->run_as_user ? own->run_as_user : pod->run_as_user;
    const int64_t *gid = own->run_as_group ? own->run_as_group : pod->run_as_group;
    ContainerSpec *spec = build->spec;
    spec->uid = uid ? *uid : -1;
    spec->gid = gid ? *gid : -1;
    spec->user = build->inputs->image->user;
    int64_t *groups = arena_array_of(build->arena, int64_t, pod->supplemental_groups.len + 1);
    if (pod->fs_group)
        groups[spec->n_supplemental_groups++] = *pod->fs_group;
    for (size_t i = 0; i < pod->supplemental_groups.len; i++)
        groups[spec->n_supplemental_groups++] = pod->supplemental_groups.items[i];
    spec->supplemental_groups = groups;
    spec->strict_supplemental_groups = str_eq(pod->supplemental_groups_policy, STR("Strict"));
    return check_non_root(build, uid,
                          own->run_as_non_root ? own->run_as_non_root : pod->run_as_non_root);
}

static int set_seccomp(Building *build, const SeccompProfile *profile) {
    if (!profile)
        return 0;
    build->spec->seccomp = profile->type;
    if (!str_eq(profile->type, STR("Localhost")))
        return 0;
    if (!profile->localhost_profile.len)
        return fail(build, CONFIG_ERROR, -EINVAL,
                    "localhostProfile must be set if seccompProfile type is Localhost.");
    build->spec->seccomp = arena_printf(build->arena, "Localhost/%.*s/seccomp/%.*s",
                                        STR_ARG(build->agent->config.data_directory),
                                        STR_ARG(profile->localhost_profile));
    return 0;
}

static int set_security(Building *build) {
    static const Str no_paths[1];
    const SecurityContext *own = build->container->security_context;
    const PodSecurityContext *pod = build->pod->spec.security_context;
    ContainerSpec *spec = build->spec;
    const SeccompProfile *profile = pod ? pod->seccomp_profile : NULL;
    if (own) {
        if (own->seccomp_profile)
            profile = own->seccomp_profile;
        spec->privileged = is_true(own->privileged);
        spec->read_only_root = is_true(own->read_only_root_filesystem);
        spec->no_new_privileges =
            own->allow_privilege_escalation && !*own->allow_privilege_escalation;
        if (own->capabilities) {
            spec->capabilities_add = own->capabilities->add.items;
            spec->n_capabilities_add = own->capabilities->add.len;
            spec->capabilities_drop = own->capabilities->drop.items;
            spec->n_capabilities_drop = own->capabilities->drop.len;
        }
        if (str_eq(own->proc_mount, STR("Unmasked")))
            spec->masked_paths = spec->read_only_paths = no_paths;
    }
    int error = set_user(build);
    return error ? error : set_seccomp(build, profile);
}

// Mounts -----------------------------------------------------------------------------------------

static bool is_mounted(const Building *build, Str target) {
    for (size_t i = 0; i < build->spec->n_mounts; i++)
        if (str_eq(build->mounts[i].target, target))
            return true;
    return false;
}

static int add_volumes(Building *build) {
    const Container *container = build->container;
    for (size_t i = 0; i < container->volume_mounts.len; i++) {
        Str message;
        int error = pod_volumes_mount(build->inputs->volumes, build->arena, container->name,
                                      &container->volume_mounts.items[i], build->inputs->env,
                                      build->inputs->n_env, &build->mounts[build->spec->n_mounts],
                                      &message);
        if (error)
            return fail(build, CONFIG_ERROR, error, "%.*s", STR_ARG(message));
        build->spec->n_mounts++;
    }
    if (container->volume_devices.len)
        return fail(build, CONFIG_ERROR, -ENOTSUP, "volumeDevices are not supported by this node");
    return 0;
}

static void add_file(Building *build, Str source, Str target, bool read_only) {
    if (source.len && !is_mounted(build, target))
        build->mounts[build->spec->n_mounts++] =
            (ContainerMount){.source = source, .target = target, .read_only = read_only};
}

static int add_files(Building *build) {
    const ContainerInputs *in = build->inputs;
    PodFiles files;
    int error = pod_files_write(build->agent, build->arena, build->pod, in->pod_ip,
                                in->files_directory, &files);
    if (error)
        return fail(build, CONFIG_ERROR, error, "cannot write files in %.*s: %s",
                    STR_ARG(in->files_directory), strerror(-error));
    bool read_only = build->spec->read_only_root;
    add_file(build, files.hosts, STR("/etc/hosts"), false);
    add_file(build, files.hostname, STR("/etc/hostname"), read_only);
    add_file(build, files.resolv_conf, STR("/etc/resolv.conf"), read_only);
    Str path = build->container->termination_message_path;
    if (!path.len)
        return 0;
    error = termination_file_make(build->arena, in->files_directory, build->container->name,
                                  in->log_path, in->attempt,
                                  &build->spec->termination_message_host_path);
    if (error)
        return fail(build, CONFIG_ERROR, error, "cannot make the termination message file: %s",
                    strerror(-error));
    build->spec->termination_message_path = path;
    return 0;
}

static int set_mounts(Building *build) {
    build->mounts =
        arena_array_of(build->arena, ContainerMount, build->container->volume_mounts.len + 3);
    int error = add_volumes(build);
    if (!error)
        error = add_files(build);
    build->spec->mounts = build->mounts;
    return error;
}

int container_spec_build(NodeAgent *agent, Arena *arena, const ContainerInputs *inputs,
                         ContainerSpec *ret, Str *ret_reason, Str *ret_message) {
    const Image *image = inputs->image;
    *ret = (ContainerSpec){.sandbox_id = inputs->sandbox_id,
                           .name = inputs->container->name,
                           .attempt = inputs->attempt,
                           .layers = image->layers.items,
                           .n_layers = image->layers.n,
                           .log_path = inputs->log_path,
                           .resources = resources_of_container(inputs->pod, inputs->container,
                                                               resources_machine_memory())};
    Building build = {.agent = agent,
                      .arena = arena,
                      .inputs = inputs,
                      .pod = inputs->pod,
                      .container = inputs->container,
                      .spec = ret};
    set_process(&build);
    set_env(&build);
    int error = set_security(&build);
    if (!error)
        error = set_argv(&build);
    if (!error)
        error = set_mounts(&build);
    *ret_reason = build.reason;
    *ret_message = build.message;
    return error;
}

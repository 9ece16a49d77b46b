// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/loop.h"
#include "pki/pki.h"
#include "scratch.h"

#define NOW (1795455072LL * NSEC_PER_SEC)

typedef struct Fixture {
    Arena *arena;
    Scratch scratch;
    char directory[128], output[4096];
} Fixture;

static int setup(void **state) {
    static Fixture fixture;
    fixture.arena = arena_new();
    scratch_make(&fixture.scratch);
    snprintf(fixture.directory, sizeof fixture.directory, "%s/pki", fixture.scratch.path);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    scratch_remove(&f->scratch);
    arena_free(f->arena);
    return 0;
}

static void run(Fixture *f, const char *command, const char *expected) {
    assert_int_equal(scratch_run(&f->scratch, command, f->output, sizeof f->output), 0);
    assert_string_equal(f->output, expected);
}

static void test_creates_and_loads(void **state) {
    Fixture *f = *state;
    PkiFiles first, second;
    umask(022);
    assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &first), 0);
    assert_true(first.created);
    run(f, "stat -c '%a %n' pki; cd pki; stat -c '%a %n' $(ls -A)",
        "700 pki\n600 ca.crt\n600 ca.key\n600 service-account.key\n");
    assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW + 1, &second), 0);
    assert_false(second.created);
    assert_true(str_eq(first.ca.certificate, second.ca.certificate));
    assert_true(str_eq(first.ca.key, second.ca.key));
    assert_true(str_eq(first.service_account_key, second.service_account_key));
    assert_true(str_eq(first.service_account_public, second.service_account_public));
    // They work, from an hour before now on.
    PkiPair pair;
    assert_int_equal(pki_issue(f->arena, &second.ca, &(PkiSubject){.common_name = STR("x")},
                               PKI_CLIENT, NULL, 0, NOW, NOW + NSEC_PER_SEC, &pair),
                     0);
    scratch_write(&f->scratch, "x.crt", pair.certificate);
    run(f, "openssl verify -attime 1795455072 -CAfile pki/ca.crt x.crt", "x.crt: OK\n");
    Str token, payload;
    assert_int_equal(pki_jwt_sign(f->arena, second.service_account_key, STR("{}"), &token), 0);
    assert_int_equal(pki_jwt_verify(f->arena, &first.service_account_public, 1, token, &payload),
                     0);
}

static void test_beside_other_files(void **state) {
    Fixture *f = *state;
    PkiFiles files;
    run(f, "mkdir pki && echo mine > pki/other", "");
    assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &files), 0);
    assert_true(files.created);
    run(f, "cat pki/other; ls -A pki", "mine\nca.crt\nca.key\nother\nservice-account.key\n");
}

static void test_interrupted(void **state) {
    Fixture *f = *state;
    PkiFiles first, second;
    // Before everything was there: forgotten.
    run(f, "mkdir -p pki/.new && echo half > pki/.new/ca.crt", "");
    assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &first), 0);
    assert_true(first.created);
    run(f, "ls -A pki", "ca.crt\nca.key\nservice-account.key\n");
    // While the files moved into place: finished.
    run(f, "cd pki && mkdir .ready && mv ca.key service-account.key .ready", "");
    assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &second), 0);
    assert_false(second.created);
    assert_true(str_eq(first.ca.key, second.ca.key));
    assert_true(str_eq(first.service_account_key, second.service_account_key));
    run(f, "ls -A pki; mkdir pki/.ready", "ca.crt\nca.key\nservice-account.key\n");
    assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &second), 0);
    run(f, "ls -A pki", "ca.crt\nca.key\nservice-account.key\n");
}

// Killed at any moment, the next start has a whole set, and it is always the same one from then on.
static void test_killed(void **state) {
    Fixture *f = *state;
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            PkiFiles files;
            Arena *arena = arena_new();
            _exit(pki_load_or_create(arena, f->directory, NOW, &files) != 0);
        }
        usleep((useconds_t)(i * 197));
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        PkiFiles first, second;
        assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &first), 0);
        assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &second), 0);
        assert_false(second.created);
        assert_true(str_eq(first.ca.certificate, second.ca.certificate));
        run(f, "ls -A pki; rm -r pki", "ca.crt\nca.key\nservice-account.key\n");
    }
}

static void test_refuses(void **state) {
    Fixture *f = *state;
    PkiFiles files;
    static const struct {
        const char *damage;
        int error;
    } cases[] = {
        {"rm ca.key", -ENOENT},
        {"rm ca.crt service-account.key", -ENOENT},
        {": > ca.crt", -EINVAL},
        {"echo nonsense > service-account.key", -EINVAL},
        {"cp service-account.key ca.key", -EINVAL}, // a key, but not the certificate's
        {"head -c 100000 /dev/zero > ca.crt", -EINVAL},
        {"rm ca.crt; mkdir ca.crt", -EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &files), 0);
        char command[256];
        snprintf(command, sizeof command, "cd pki; %s", cases[i].damage);
        run(f, command, "");
        assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &files), cases[i].error);
        assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &files), cases[i].error);
        run(f, "rm -r pki", "");
    }
    run(f, "echo > pki", "");
    assert_int_equal(pki_load_or_create(f->arena, f->directory, NOW, &files), -ENOTDIR);
    assert_int_equal(pki_load_or_create(f->arena, "/nonexistent/pki", NOW, &files), -ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_creates_and_loads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_beside_other_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
    };
    return cmocka_run_group_tests_name("pki files", tests, NULL, NULL);
}

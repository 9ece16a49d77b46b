// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "controllers/controllers.h"
#include "controllers/cron_times.h"
#include "sim.h"

// Reasons and messages: pkg/controller/cronjob/cronjob_controllerv2.go and utils.go upstream.

#define JOBS "/apis/batch/v1/namespaces/default/jobs"
#define CRON_JOBS "/apis/batch/v1/namespaces/default/cronjobs"
#define CRON CRON_JOBS "/c"
#define SOON (100 * NSEC_PER_MSEC)
#define MINUTE (60 * NSEC_PER_SEC)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

typedef struct World {
    Sim *sim;
    Controllers *controllers;
} World;

// The garbage collector watches every kind, which takes its time when that is long.
#define ALONE "cronjob-controller,ttl-after-finished-controller,serviceaccount-controller"
#define WITH_GARBAGE ALONE ",garbage-collector-controller"

static void start_controllers(World *world, const char *selection) {
    world->controllers = controllers_new(&(ControllersConfig){.loop = world->sim->api->loop,
                                                              .client = sim_controller_client,
                                                              .user = world->sim,
                                                              .cluster_ca = STR("the CA"),
                                                              .selection = str_from(selection)},
                                         NULL);
    sim_run(world->sim, NSEC_PER_SEC);
}

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);
    world->sim = sim_new();
    start_controllers(world, ALONE);
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;
    controllers_free(world->controllers);
    sim_free(world->sim);
    free(world);
    return 0;
}

// ---- the world as it is

static Value *get(Sim *sim, const char *path) {
    Answer *answer = call(sim->api, "GET", path, NULL);
    assert_int_equal(answer->status, 200);
    return answer->json;
}

static const Value *jobs(Sim *sim) {
    return value_get(get(sim, JOBS), STR("items"));
}

static size_t count_jobs(Sim *sim) {
    const Value *items = jobs(sim);
    return items ? items->n : 0;
}

static const char *job_name(Sim *sim, size_t i) {
    const Value *items = jobs(sim);
    assert_true(items && items->n > i);
    return arena_cstr(sim->api->arena, value_string_at(items->items[i], "metadata.name"));
}

static size_t count_active(Sim *sim) {
    const Value *active = value_at(get(sim, CRON), "status.active");
    return active ? active->n : 0;
}

static int64_t status_time(Sim *sim, const char *field) {
    int64_t at = 0;
    char path[64];
    snprintf(path, sizeof path, "status.%s", field);
    if (time_parse(value_string_at(get(sim, CRON), path), &at) != 0)
        return 0;
    return at;
}

static int64_t now_of(Sim *sim) {
    return loop_wall(sim->api->loop);
}

// Until shortly after the next full `unit`.
static void run_to_next(Sim *sim, int64_t unit) {
    sim_run(sim, unit - now_of(sim) % unit + SOON);
}

static bool has_event(Sim *sim, const char *event) {
    return strstr(sim_events(sim, "c"), event) != NULL;
}

static size_t count_text(const char *text, const char *what) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

// ---- what happens to it

#define TEMPLATE                                                                                   \
    "\"jobTemplate\":{\"metadata\":{\"labels\":{\"l\":\"v\"}},\"spec\":{\"template\":{\"spec\":{"  \
    "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}"

static void create_cron(Sim *sim, const char *schedule, const char *more) {
    char body[1024];
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"schedule\":\"%s\",%s%s" TEMPLATE "}}",
             schedule, more, *more ? "," : "");
    sim_create(sim, CRON_JOBS, body);
    sim_run(sim, SOON);
}

static void end_job(Sim *sim, const char *name, bool succeeds) {
    char path[256], patch[1024], now[64];
    Str text = time_format(sim->api->arena, now_of(sim));
    snprintf(now, sizeof now, "%.*s", STR_ARG(text));
    snprintf(path, sizeof path, JOBS "/%s/status", name);
    if (succeeds)
        snprintf(patch, sizeof patch,
                 "{\"status\":{\"startTime\":\"%s\",\"completionTime\":\"%s\",\"conditions\":[{"
                 "\"type\":\"SuccessCriteriaMet\",\"status\":\"True\"},{\"type\":\"Complete\","
                 "\"status\":\"True\",\"lastTransitionTime\":\"%s\"}]}}",
                 now, now, now);
    else
        snprintf(patch, sizeof patch,
                 "{\"status\":{\"startTime\":\"%s\",\"conditions\":[{\"type\":\"FailureTarget\","
                 "\"status\":\"True\"},{\"type\":\"Failed\",\"status\":\"True\","
                 "\"lastTransitionTime\":\"%s\"}]}}",
                 now, now);
    sim_patch(sim, path, patch);
    sim_run(sim, SOON);
}

// ---- starting

static void test_starts(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_cron(sim, "* * * * *", "");
    assert_int_equal(count_jobs(sim), 0);
    run_to_next(sim, MINUTE);
    int64_t minute = now_of(sim) / MINUTE;
    char name[64], event[192], stamp[64];
    snprintf(name, sizeof name, "c-%" PRId64, minute);
    assert_int_equal(count_jobs(sim), 1);
    assert_string_equal(job_name(sim, 0), name);
    const Value *job = jobs(sim)->items[0];
    const Value *owner = value_at(job, "metadata.ownerReferences")->items[0];
    assert_true(str_eq(value_string_at(owner, "kind"), STR("CronJob")));
    assert_true(value_bool_at(owner, "controller", false));
    assert_true(str_eq(value_string_at(job, "metadata.labels.l"), STR("v")));
    Str at = value_get(value_at(job, "metadata.annotations"),
                       STR("batch.kubernetes.io/cronjob-scheduled-timestamp"))
                 ->string;
    snprintf(stamp, sizeof stamp, "%.*s", STR_ARG(time_format(sim->api->arena, minute * MINUTE)));
    assert_string_equal(arena_cstr(sim->api->arena, at), stamp);
    assert_int_equal(count_active(sim), 1);
    assert_true(status_time(sim, "lastScheduleTime") == minute * MINUTE);
    snprintf(event, sizeof event, "Normal SuccessfulCreate 1 Created job %s", name);
    assert_true(has_event(sim, event));
    end_job(sim, name, true);
    assert_int_equal(count_active(sim), 0);
    assert_true(status_time(sim, "lastSuccessfulTime") > 0);
    snprintf(event, sizeof event,
             "Normal SawCompletedJob 1 Saw completed job: %s, condition: Complete", name);
    assert_true(has_event(sim, event));
    assert_false(has_event(sim, "UnexpectedJob"));
}

// A month: every start comes once, also those that the controller was not there for an instant.
static void test_a_month(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    create_cron(sim, "0 */6 * * *", "\"successfulJobsHistoryLimit\":1");
    run_to_next(sim, 6 * HOUR);
    int64_t last = 0;
    int starts = 0;
    size_t made = 0;
    for (int i = 0; i < 31 * 4; i++) {
        int64_t at = status_time(sim, "lastScheduleTime");
        assert_int_equal(at % (6 * HOUR), 0);
        assert_true(!last || at == last + 6 * HOUR);
        starts++;
        last = at;
        assert_int_equal(count_active(sim), 1);
        const Value *active = value_at(get(sim, CRON), "status.active");
        end_job(sim, arena_cstr(sim->api->arena, value_string_at(active->items[0], "name")), true);
        made += count_text(sim_log(sim), "POST " JOBS);
        sim_log_clear(sim);
        if (i % 40 == 20) {
            controllers_free(world->controllers);
            start_controllers(world, ALONE);
        }
        run_to_next(sim, 6 * HOUR);
    }
    assert_int_equal(starts, 124);
    assert_int_equal(count_jobs(sim), 2); // one that is kept, and the one that runs
    assert_int_equal(made, 124);
}

// Nothing happens, however long one waits.
static void test_impossible(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_cron(sim, "0 0 31 2 *", "");
    int64_t revision = sim_revision(sim);
    for (int day = 0; day < 7; day++) {
        sim_log_clear(sim);
        sim_run(sim, DAY);
        assert_int_equal(count_text(sim_log(sim), "PUT "), 0);
    }
    assert_int_equal(count_jobs(sim), 0);
    assert_int_equal(sim_revision(sim), revision);
}

static void test_suspend(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_cron(sim, "* * * * *", "\"suspend\":true");
    sim_run(sim, 10 * MINUTE);
    assert_int_equal(count_jobs(sim), 0);
    sim_patch(sim, CRON, "{\"spec\":{\"suspend\":false}}");
    sim_run(sim, SOON);
    assert_int_equal(count_jobs(sim), 1); // the last one that was missed
    run_to_next(sim, MINUTE);
    assert_int_equal(count_jobs(sim), 2);
}

// ---- what was missed

static void stop_for(World *world, int64_t ns) {
    controllers_free(world->controllers);
    sim_run(world->sim, ns);
    start_controllers(world, ALONE);
}

static void test_only_the_last_missed(void **state) {
    World *world = *state;
    create_cron(world->sim, "*/10 * * * *", "");
    stop_for(world, 5 * HOUR);
    assert_int_equal(count_jobs(world->sim), 1);
    assert_true(now_of(world->sim) - status_time(world->sim, "lastScheduleTime") < 10 * MINUTE);
    assert_false(has_event(world->sim, "TooManyMissedTimes"));
}

static void test_too_many_missed(void **state) {
    World *world = *state;
    create_cron(world->sim, "* * * * *", "");
    stop_for(world, 5 * HOUR);
    assert_int_equal(count_jobs(world->sim), 1);
    assert_true(has_event(world->sim,
                          "Warning TooManyMissedTimes 1 too many missed start times. Set or "
                          "decrease .spec.startingDeadlineSeconds or check clock skew"));
}

static void test_starting_deadline(void **state) {
    World *world = *state;
    create_cron(world->sim, "0 * * * *", "\"startingDeadlineSeconds\":600");
    run_to_next(world->sim, HOUR);
    assert_int_equal(count_jobs(world->sim), 1);
    stop_for(world, 90 * MINUTE); // half an hour too late for the one that was missed
    assert_int_equal(count_jobs(world->sim), 1);
    stop_for(world, 35 * MINUTE); // five minutes after the full hour
    assert_int_equal(count_jobs(world->sim), 2);
}

// A new schedule does not ask for what lies behind.
static void test_schedule_changes(void **state) {
    Sim *sim = ((World *)*state)->sim;
    run_to_next(sim, HOUR);
    create_cron(sim, "0 0 1 1 *", "");
    sim_run(sim, 20 * MINUTE);
    sim_patch(sim, CRON, "{\"spec\":{\"schedule\":\"*/15 * * * *\"}}");
    sim_run(sim, MINUTE);
    assert_int_equal(count_jobs(sim), 0);
    sim_run(sim, 10 * MINUTE);
    assert_int_equal(count_jobs(sim), 1);
}

// ---- several at a time

static void test_allow(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_cron(sim, "* * * * *", "");
    sim_run(sim, 3 * MINUTE);
    assert_int_equal(count_active(sim), 3);
}

static void test_forbid(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_cron(sim, "* * * * *", "\"concurrencyPolicy\":\"Forbid\"");
    run_to_next(sim, MINUTE);
    const char *first = job_name(sim, 0);
    run_to_next(sim, MINUTE);
    assert_int_equal(count_jobs(sim), 1);
    assert_true(has_event(sim, "Normal JobAlreadyActive 1 Not starting job because prior execution "
                               "is running and concurrency policy is Forbid"));
    end_job(sim, first, true);
    assert_int_equal(count_active(sim), 1); // at once, for the minute that was put off
    assert_int_equal(count_jobs(sim), 2);
}

static void test_replace(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_cron(sim, "* * * * *", "\"concurrencyPolicy\":\"Replace\"");
    run_to_next(sim, MINUTE);
    const char *first = job_name(sim, 0);
    run_to_next(sim, MINUTE);
    assert_int_equal(count_jobs(sim), 1);
    assert_int_equal(count_active(sim), 1);
    assert_string_not_equal(job_name(sim, 0), first);
    assert_true(has_event(sim, "Normal SuccessfulDelete 1 Deleted job c-"));
}

// ---- what is kept

static void test_history(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_cron(sim, "* * * * *", "\"successfulJobsHistoryLimit\":2,\"failedJobsHistoryLimit\":0");
    const char *newest = NULL;
    for (int i = 0; i < 6; i++) {
        run_to_next(sim, MINUTE);
        const Value *active = value_at(get(sim, CRON), "status.active");
        assert_int_equal(active->n, 1);
        newest = arena_cstr(sim->api->arena, value_string_at(active->items[0], "name"));
        end_job(sim, newest, i % 2 == 0);
    }
    assert_int_equal(count_jobs(sim), 2);
    sim_patch(sim, CRON, "{\"spec\":{\"successfulJobsHistoryLimit\":0}}");
    sim_run(sim, SOON);
    assert_int_equal(count_jobs(sim), 0);
}

static void collect_garbage(World *world) {
    controllers_free(world->controllers);
    start_controllers(world, WITH_GARBAGE);
}

static void test_missing_job(void **state) {
    Sim *sim = ((World *)*state)->sim;
    collect_garbage(*state); // a deleted Job leaves its pods behind, and waits for that
    create_cron(sim, "* * * * *", "");
    run_to_next(sim, MINUTE);
    char path[256];
    snprintf(path, sizeof path, JOBS "/%s", job_name(sim, 0));
    sim_delete(sim, path);
    sim_run(sim, NSEC_PER_SEC);
    assert_int_equal(count_active(sim), 0);
    assert_int_equal(count_jobs(sim), 0); // and not made again
    assert_true(has_event(sim, "Normal MissingJob 1 Active job went missing: c-"));
}

// By hand: kubectl create job --from makes one that the cron job controls.
static void test_unexpected_job(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_cron(sim, "0 0 1 1 *", "");
    char body[1024];
    snprintf(
        body, sizeof body,
        "{\"metadata\":{\"name\":\"hand\",\"ownerReferences\":[{\"apiVersion\":\"batch/v1\","
        "\"kind\":\"CronJob\",\"name\":\"c\",\"uid\":\"%.*s\",\"controller\":true}]},\"spec\":{"
        "\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\","
        "\"image\":\"i\"}]}}}}",
        STR_ARG(value_string_at(get(sim, CRON), "metadata.uid")));
    sim_create(sim, JOBS, body);
    sim_run(sim, NSEC_PER_SEC);
    sim_patch(sim, JOBS "/hand", "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
    sim_run(sim, NSEC_PER_SEC);
    assert_true(has_event(sim, "Warning UnexpectedJob 1 Saw a job that the controller did not "
                               "create or forgot: hand"));
    end_job(sim, "hand", true);
    assert_true(status_time(sim, "lastSuccessfulTime") > 0);
}

// ---- trouble

static bool cut_status(Sim *sim, HttpRequest *request) {
    if (!str_eq(request->method, STR("PUT")) || !str_ends_with(request->path, STR("/status")))
        return false;
    sim_refuse(request, 500, "InternalError", "no");
    return true;
}

// Stopped between the Job and the status, it makes no second one.
static void test_stopped_between(void **state) {
    World *world = *state;
    Sim *sim = world->sim;
    create_cron(sim, "*/10 * * * *", "");
    sim->intercept = cut_status;
    run_to_next(sim, 10 * MINUTE);
    controllers_free(world->controllers);
    assert_int_equal(count_jobs(sim), 1);
    assert_int_equal(count_active(sim), 0);
    sim->intercept = NULL;
    start_controllers(world, ALONE);
    assert_int_equal(count_jobs(sim), 1);
    assert_int_equal(count_active(sim), 1);
}

static void test_deleted_with_jobs(void **state) {
    Sim *sim = ((World *)*state)->sim;
    collect_garbage(*state);
    create_cron(sim, "* * * * *", "");
    sim_run(sim, 2 * MINUTE);
    assert_int_equal(call(sim->api, "DELETE", CRON, NULL)->status, 200);
    sim_run(sim, 10 * NSEC_PER_SEC);
    assert_int_equal(count_jobs(sim), 0);
    sim_run(sim, 5 * MINUTE);
    assert_int_equal(count_jobs(sim), 0);
}

// ---- Jobs that go by themselves

static void test_ttl(void **state) {
    Sim *sim = ((World *)*state)->sim;
    collect_garbage(*state);
    sim_create(sim, JOBS,
               "{\"metadata\":{\"name\":\"j\"},\"spec\":{\"ttlSecondsAfterFinished\":60,"
               "\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":"
               "\"c\",\"image\":\"i\"}]}}}}");
    sim_run(sim, HOUR);
    end_job(sim, "j", true);
    sim_run(sim, 50 * NSEC_PER_SEC);
    assert_int_equal(count_jobs(sim), 1);
    // More time given in between counts.
    sim_patch(sim, JOBS "/j", "{\"spec\":{\"ttlSecondsAfterFinished\":600}}");
    sim_run(sim, 5 * MINUTE);
    assert_int_equal(count_jobs(sim), 1);
    sim_run(sim, 5 * MINUTE);
    assert_int_equal(count_jobs(sim), 0);
}

// ---- which start is due

static int64_t at(const char *text) {
    int64_t time;
    assert_int_equal(time_parse(str_from(text), &time), 0);
    return time;
}

static void check_due(const char *schedule, const char *zone_name, const char *since,
                      const char *now, const char *last, const char *next, bool many) {
    Arena *arena = arena_new();
    CronSchedule parsed;
    TimeZone *zone = NULL;
    assert_null(cron_parse(arena, str_from(schedule), &parsed));
    if (zone_name)
        assert_int_equal(time_zone_load(str_from(zone_name), &zone), 0);
    CronDue due = cron_due(&parsed, zone, at(since), at(now));
    assert_string_equal(due.last ? arena_cstr(arena, time_format(arena, due.last)) : "", last);
    assert_string_equal(due.next < INT64_MAX ? arena_cstr(arena, time_format(arena, due.next)) : "",
                        next);
    assert_int_equal(due.many, many);
    time_zone_free(zone);
    arena_free(arena);
}

static void test_due(void **state) {
    check_due("0 * * * *", NULL, "2026-03-01T10:00:00Z", "2026-03-01T10:59:59Z", "",
              "2026-03-01T11:00:00Z", false);
    check_due("0 * * * *", NULL, "2026-03-01T10:00:00Z", "2026-03-01T13:00:00Z",
              "2026-03-01T13:00:00Z", "2026-03-01T14:00:00Z", false);
    check_due("* * * * *", NULL, "2020-03-01T10:00:00Z", "2026-03-01T13:00:30Z",
              "2026-03-01T13:00:00Z", "2026-03-01T13:01:00Z", true);
    check_due("* * 1 1 *", NULL, "2020-03-01T10:00:00Z", "2026-03-01T13:00:30Z",
              "2026-01-01T23:59:00Z", "2027-01-01T00:00:00Z", true);
    check_due("@every 1h30m", NULL, "2026-03-01T10:00:00Z", "2026-03-01T14:00:00Z",
              "2026-03-01T13:00:00Z", "2026-03-01T14:30:00Z", false);
    check_due("0 0 31 2 *", NULL, "2020-03-01T10:00:00Z", "2026-03-01T14:00:00Z", "", "", false);
    // Summer time begins: half past two does not come on that day.
    check_due("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z", "",
              "2026-03-30T00:30:00Z", false);
    check_due("30 7 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z",
              "2026-03-29T05:30:00Z", "2026-03-30T05:30:00Z", false);
    // The clock is set back: nothing comes twice.
    check_due("0 * * * *", NULL, "2026-03-01T13:00:00Z", "2026-03-01T10:30:00Z", "",
              "2026-03-01T14:00:00Z", false);
}

static void test_time_zone(void **state) {
    Sim *sim = ((World *)*state)->sim;
    create_cron(sim, "0 12 * * *", "\"timeZone\":\"Asia/Kolkata\"");
    run_to_next(sim, DAY);
    sim_run(sim, DAY);
    assert_in_range(count_jobs(sim), 1, 2);
    assert_true(status_time(sim, "lastScheduleTime") % DAY == 6 * HOUR + 30 * MINUTE);
    Str stamp = value_get(value_at(jobs(sim)->items[0], "metadata.annotations"),
                          STR("batch.kubernetes.io/cronjob-scheduled-timestamp"))
                    ->string;
    assert_true(str_ends_with(stamp, STR("T12:00:00+05:30")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_starts),
        TEST(test_a_month),
        TEST(test_impossible),
        TEST(test_suspend),
        TEST(test_only_the_last_missed),
        TEST(test_too_many_missed),
        TEST(test_starting_deadline),
        TEST(test_schedule_changes),
        TEST(test_allow),
        TEST(test_forbid),
        TEST(test_replace),
        TEST(test_history),
        TEST(test_missing_job),
        TEST(test_unexpected_job),
        TEST(test_stopped_between),
        TEST(test_deleted_with_jobs),
        TEST(test_ttl),
        cmocka_unit_test(test_due),
        TEST(test_time_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

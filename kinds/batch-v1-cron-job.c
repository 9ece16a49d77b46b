// Cron jobs: ValidateCronJobCreate and ValidateCronJobUpdate upstream (pkg/apis/batch/validation).

#include "base/cron.h"
#include "base/time_zone.h"
#include "kinds/job.h"

#define MOST_NAME 52 // jobs add eleven characters to it, and have 63

static const Path spec_path = {.name = {"spec", 4}, .index = -1};

// ---- schedule and time zone

static bool names_zone(Str schedule) {
    for (size_t i = 0; i + 1 < schedule.len; i++)
        if (schedule.ptr[i] == 'T' && schedule.ptr[i + 1] == 'Z')
            return true;
    return false;
}

static void check_schedule(FieldErrors *errors, const Value *spec, const Value *old) {
    Str schedule = GET_STR(spec, "schedule");
    const Path *path = AT(&spec_path, "schedule");
    CronSchedule parsed;
    const char *problem = schedule.len ? cron_parse(errors->arena, schedule, &parsed) : NULL;
    if (problem)
        field_invalid(errors, path, schedule, problem);
    if (!names_zone(schedule))
        return;
    bool had = names_zone(GET_STR(old, "schedule"));
    if (had && GET(spec, "timeZone"))
        field_invalid(errors, path, schedule,
                      "cannot use both timeZone field and TZ or CRON_TZ in schedule");
    else if (!had)
        field_invalid(errors, path, schedule,
                      "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
}

static void check_zone(FieldErrors *errors, const Value *spec, const Value *old) {
    const Value *zone = GET(spec, "timeZone");
    const Path *path = AT(&spec_path, "timeZone");
    if (!zone || (old && value_equal(zone, GET(old, "timeZone"))))
        return;
    if (!zone->string.len) {
        field_invalid(errors, path, zone->string, "timeZone must be nil or non-empty string");
        return;
    }
    if (str_eq_nocase(zone->string, STR("Local"))) {
        field_invalid(errors, path, zone->string,
                      "timeZone must be an explicit time zone as defined in "
                      "https://www.iana.org/time-zones");
        return;
    }
    if (!time_zone_exists(zone->string))
        field_invalid(
            errors, path, zone->string,
            arena_printf(errors->arena, "unknown time zone %.*s", STR_ARG(zone->string)).ptr);
}

// ---- the rest

// The selectors of the jobs are made for them.
static void check_template(FieldErrors *errors, const Value *spec) {
    const Value *job = value_at(spec, "jobTemplate.spec");
    const Path *path = AT(AT(&spec_path, "jobTemplate"), "spec");
    const Value *manual = GET(job, "manualSelector");
    if (GET(job, "selector"))
        field_invalid_value(errors, AT(path, "selector"), GET(job, "selector"),
                            "`selector` will be auto-generated");
    if (manual && manual->boolean)
        field_not_supported_value(errors, AT(path, "manualSelector"), manual,
                                  (Str[]){STR("nil"), STR("false")}, 2);
}

static void validate_create(FieldErrors *errors, const Value *cron_job) {
    const Value *spec = GET(cron_job, "spec");
    Str name = value_string_at(cron_job, "metadata.name");
    check_schedule(errors, spec, NULL);
    check_zone(errors, spec, NULL);
    check_template(errors, spec);
    if (name.len > MOST_NAME)
        field_invalid(errors, AT(PATH(NULL, STR("metadata")), "name"), name,
                      "must be no more than 52 characters");
}

static void validate_update(FieldErrors *errors, const Value *cron_job, const Value *old) {
    const Value *spec = GET(cron_job, "spec");
    check_schedule(errors, spec, GET(old, "spec"));
    check_zone(errors, spec, GET(old, "spec"));
    check_template(errors, spec);
}

static void warn(Arena *arena, const Value *cron_job, ValuePaths *warnings) {
    job_warn(arena, value_at(cron_job, "spec.jobTemplate.spec"), "spec.jobTemplate.spec", warnings);
    workload_warn(arena, cron_job, "spec.jobTemplate.spec.template", warnings);
}

const ResourceRules cron_job_rules = {
    .validate_create = validate_create,
    .validate_update = validate_update,
    .warn = warn,
};

// What batch/v1 refuses: pkg/apis/batch/validation and pkg/registry/batch/job/strategy.go upstream.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "workload_road.h"

#define NEVER "'template':{'spec':{" CONTAINERS ",'restartPolicy':'Never'}}"
#define NOT_NEGATIVE "must be greater than or equal to 0\n"
#define INDEXED "'completionMode':'Indexed','completions':5,"

typedef struct Case {
    const char *json, *problems;
} Case;

static const char *make_job(Arena *arena, const char *spec, Value **ret) {
    return road_create(arena, kinds_resource_batch_v1_jobs(),
                       arena_printf(arena, "{'metadata':{'uid':'u'},'spec':{%s}}", spec).ptr, ret);
}

static void expect(const char *json, const char *problems, const char *expected) {
    if (strcmp(problems, expected))
        fail_msg("%s\n%sinstead of\n%s", json, problems, expected);
}

// validateJobSpec
static void test_job_spec(void **state) {
    static const Case cases[] = {
        {NEVER, ""},
        {"'parallelism':-1,'completions':-1,'activeDeadlineSeconds':-1,'backoffLimit':-1,"
         "'ttlSecondsAfterFinished':-1," NEVER,
         "spec.parallelism: Invalid value: -1: " NOT_NEGATIVE
         "spec.completions: Invalid value: -1: " NOT_NEGATIVE
         "spec.activeDeadlineSeconds: Invalid value: -1: " NOT_NEGATIVE
         "spec.backoffLimit: Invalid value: -1: " NOT_NEGATIVE
         "spec.ttlSecondsAfterFinished: Invalid value: -1: " NOT_NEGATIVE},
        {INDEXED "'backoffLimitPerIndex':-1,'maxFailedIndexes':-1," NEVER,
         "spec.backoffLimitPerIndex: Invalid value: -1: " NOT_NEGATIVE
         "spec.maxFailedIndexes: Invalid value: -1: " NOT_NEGATIVE},
        {"'template':{'spec':{" CONTAINERS "}}",
         "spec.template.spec.restartPolicy: Required value: "
         "valid values: \"OnFailure\", \"Never\"\n"},
        {"'template':{'spec':{'restartPolicy':'Never'}}",
         "spec.template.spec.containers: Required value\n"},
        {"'completionMode':'Other'," NEVER,
         "spec.completionMode: Unsupported value: \"Other\": supported values: \"NonIndexed\", "
         "\"Indexed\"\n"},
        {"'completionMode':'Indexed','parallelism':100001," NEVER,
         "spec.completions: Required value: when completion mode is Indexed\n"
         "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when "
         "completion mode is Indexed\n"},
        {INDEXED "'maxFailedIndexes':2," NEVER,
         "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified\n"},
        {INDEXED "'backoffLimitPerIndex':1,'maxFailedIndexes':6," NEVER,
         "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions\n"},
        {"'completionMode':'Indexed','completions':100001,'backoffLimitPerIndex':1,'parallelism':"
         "10001," NEVER,
         "spec.maxFailedIndexes: Required value: must be specified when completions is above "
         "100000\n"
         "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when "
         "completions are above 100000 and used with backoff limit per index\n"},
        {"'completionMode':'Indexed','completions':200000,'backoffLimitPerIndex':1,"
         "'maxFailedIndexes':100001," NEVER,
         "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 100000\n"
         "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 10000 when "
         "completions are above 100000 and used with backoff limit per index\n"},
        {"'backoffLimitPerIndex':1,'maxFailedIndexes':1,'successPolicy':{'rules':[{"
         "'succeededCount':1}]}," NEVER,
         "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode\n"
         "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode\n"
         "spec.successPolicy: Invalid value: {\"Rules\":[{\"SucceededIndexes\":null,"
         "\"SucceededCount\":1}]}: requires indexed completion mode\n"},
        {"'podReplacementPolicy':'Other'," NEVER,
         "spec.podReplacementPolicy: Unsupported value: \"Other\": supported values: \"Failed\", "
         "\"TerminatingOrFailed\"\n"},
        {"'managedBy':'me'," NEVER, "spec.managedBy: Invalid value: \"me\": must be a "
                                    "domain-prefixed path (such as \"acme.io/foo\")\n"},
        {"'managedBy':'acme.io/ '," NEVER,
         "spec.managedBy: Invalid value: \" \": Invalid path (regex used for validation is "
         "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')\n"},
        {"'managedBy':''," NEVER, "spec.managedBy: Required value\n"},
        {"'managedBy':'acme.io/"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'," NEVER,
         "spec.managedBy: Too long: may not be more than 63 bytes\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        expect(cases[i].json, make_job(arena, cases[i].json, NULL), cases[i].problems);
    }
}

#define RULE(rule) "'podFailurePolicy':{'rules':[{" rule "}]}," NEVER
#define AT_RULE "spec.podFailurePolicy.rules[0]"

// validatePodFailurePolicy
static void test_failure_policy(void **state) {
    static const Case cases[] = {
        {RULE("'action':'FailJob','onExitCodes':{'containerName':'c','operator':'In','values':[1,2]"
              "}"),
         ""},
        {RULE("'action':'Ignore','onPodConditions':[{'type':'DisruptionTarget'}]"), ""},
        {RULE("'onPodConditions':[{'type':'x'}]"),
         AT_RULE ".action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" "
                 "\"Ignore\"]\n"},
        {RULE("'action':'Other','onPodConditions':[{'type':'x'}]"), AT_RULE
         ".action: Unsupported value: \"Other\": supported values: \"Count\", \"FailIndex\", "
         "\"FailJob\", \"Ignore\"\n"},
        {RULE("'action':'FailIndex','onPodConditions':[{'type':'x'}]"),
         AT_RULE ".action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be "
                 "set\n"},
        {RULE("'action':'Count'"), AT_RULE ": Invalid value: specifying one of OnExitCodes and "
                                           "OnPodConditions is required\n"},
        {RULE("'action':'Count','onExitCodes':{'operator':'In','values':[1]},'onPodConditions':[{"
              "'type':'x'}]"),
         AT_RULE ": Invalid value: specifying both OnExitCodes and OnPodConditions is not "
                 "supported\n"},
        {RULE("'action':'Count','onExitCodes':{'values':[]}"),
         AT_RULE ".onExitCodes.operator: Required value: valid values: [\"In\" \"NotIn\"]\n" AT_RULE
                 ".onExitCodes.values: Invalid value: []: at least one value is required\n"},
        {RULE("'action':'Count','onExitCodes':{'operator':'Of','values':[1]}"),
         AT_RULE ".onExitCodes.operator: Unsupported value: \"Of\": supported values: \"In\", "
                 "\"NotIn\"\n"},
        {RULE("'action':'Count','onExitCodes':{'operator':'In','values':[0,2,1,2]}"), AT_RULE
         ".onExitCodes.values[3]: Duplicate value: 2\n" AT_RULE
         ".onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator\n" AT_RULE
         ".onExitCodes.values: Invalid value: [0,2,1,2]: must be ordered\n"},
        {RULE("'action':'Count','onExitCodes':{'containerName':'d','operator':'In','values':[1]}"),
         AT_RULE
         ".onExitCodes.containerName: Invalid value: \"d\": must be one of the container or "
         "initContainer names in the pod template\n"},
        {RULE("'action':'Count','onPodConditions':[{'type':'','status':'Maybe'}]"), AT_RULE
         ".onPodConditions[0].type: Invalid value: \"\": name part must be non-empty\n" AT_RULE
         ".onPodConditions[0].type: Invalid value: \"\": name part must consist of "
         "alphanumeric characters, '-', '_' or '.', and must start and end with an "
         "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used "
         "for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')\n" AT_RULE
         ".onPodConditions[0].status: Unsupported value: \"Maybe\": supported values: "
         "\"False\", \"True\", \"Unknown\"\n"},
        {"'podFailurePolicy':{'rules':[]},'podReplacementPolicy':'TerminatingOrFailed'," NEVER,
         "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: "
         "\"Failed\"\n"},
        {"'podFailurePolicy':{'rules':[]},'template':{'spec':{" CONTAINERS
         ",'restartPolicy':'OnFailure'}}",
         "spec.template.spec.restartPolicy: Invalid value: \"OnFailure\": only \"Never\" is "
         "supported when podFailurePolicy is specified\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        expect(cases[i].json, make_job(arena, cases[i].json, NULL), cases[i].problems);
    }
}

#define SUCCESS(rule) INDEXED "'successPolicy':{'rules':[{" rule "}]}," NEVER
#define AT_SUCCESS "spec.successPolicy.rules[0]"
#define UNPARSED(text, why)                                                                        \
    {                                                                                              \
        SUCCESS("'succeededIndexes':'" text "'"),                                                  \
            AT_SUCCESS ".succeededIndexes: Invalid value: \"" text                                 \
                       "\": error parsing succeededIndexes: " why "\n"                             \
    }

// validateSuccessPolicy, validateIndexesFormat
static void test_success_policy(void **state) {
    static const Case cases[] = {
        {SUCCESS("'succeededIndexes':'0,2-4','succeededCount':4"), ""},
        {INDEXED "'successPolicy':{'rules':[]}," NEVER,
         "spec.successPolicy.rules: Required value: at least one rules must be specified when the "
         "successPolicy is specified\n"},
        {SUCCESS(""), AT_SUCCESS ": Required value: at least one of succeededCount or "
                                 "succeededIndexes must be specified\n"},
        {SUCCESS("'succeededCount':6"),
         AT_SUCCESS ".succeededCount: Invalid value: 6: must be less "
                    "than or equal to 5 (the number of specified "
                    "completions)\n"},
        {SUCCESS("'succeededCount':-1"),
         AT_SUCCESS ".succeededCount: Invalid value: -1: " NOT_NEGATIVE},
        {SUCCESS("'succeededIndexes':'0-1','succeededCount':3"), AT_SUCCESS
         ".succeededCount: Invalid value: 3: must be less than or equal to 2 (the number "
         "of indexes in the specified succeededIndexes field)\n"},
        UNPARSED("5", "too large index: \\\"5\\\""),
        UNPARSED("1-9", "too large index: \\\"9\\\""),
        UNPARSED("a", "cannot convert string to integer for index: \\\"a\\\""),
        UNPARSED("1-", "cannot convert string to integer for index: \\\"\\\""),
        UNPARSED("3,1", "non-increasing order, previous: 3, current: 1"),
        UNPARSED("3-1", "non-increasing order, previous: 3, current: 1"),
        UNPARSED("1-2-3",
                 "the fragment \\\"1-2-3\\\" violates the requirement that an index interval "
                 "can have at most two parts separated by '-'"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        Str expected = str_from(cases[i].problems);
        char *plain = arena_cstr(arena, expected), *to = plain; // \" of the macro is one quote here
        for (const char *from = plain; *from; from++)
            if (from[0] != '\\')
                *to++ = *from;
        *to = '\0';
        expect(cases[i].json, make_job(arena, cases[i].json, NULL), plain);
    }
}

// ValidateGeneratedSelector, ValidateHasLabel, ValidateJob
static void test_selector(void **state) {
    _arena_free_ Arena *arena = arena_new();
    expect(
        "a wrong label",
        make_job(arena,
                 "'template':{'metadata':{'labels':{'controller-uid':'v'}},'spec':{" CONTAINERS
                 ",'restartPolicy':'Never'}}",
                 NULL),
        "spec.template.metadata.labels[controller-uid]: Invalid value: {\"controller-uid\":\"v\","
        "\"job-name\":\"n\",\"batch.kubernetes.io/job-name\":\"n\","
        "\"batch.kubernetes.io/controller-uid\":\"u\"}: must be 'u'\n");
    expect("a selector of one's own", make_job(arena, SELECTOR "," NEVER, NULL),
           "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\","
           "\"batch.kubernetes.io/controller-uid\":\"u\"}}: `selector` not auto-generated\n"
           "spec.template.metadata.labels: Invalid value: {\"job-name\":\"n\","
           "\"batch.kubernetes.io/job-name\":\"n\",\"controller-uid\":\"u\","
           "\"batch.kubernetes.io/controller-uid\":\"u\"}: `selector` does not match template "
           "`labels`\n");
    expect("manual, without any", make_job(arena, "'manualSelector':true," NEVER, NULL),
           "spec.selector: Required value\nspec.template.metadata.labels: Invalid value: null: "
           "`selector` does not match template `labels`\n");
    const char *name = "n23456789-123456789-123456789-123456789-123456789-123456789-12";
    expect("a long name",
           road_create(
               arena, kinds_resource_batch_v1_jobs(),
               arena_printf(arena,
                            "{'metadata':{'name':'%s','uid':'u'},'spec':{" INDEXED NEVER "}}", name)
                   .ptr,
               NULL),
           arena_printf(arena,
                        "metadata.name: Invalid value: \"%s\": will not able to create pod with "
                        "invalid DNS label: %s-4\n",
                        name, name)
               .ptr);
}

// Replaces some of the old job's spec by `now`, and what is wrong with that.
static const char *change(Arena *arena, const char *old_spec, const char *status, const char *now) {
    FieldErrors errors = {.arena = arena};
    Value *old, *changes = road_parse(arena, arena_printf(arena, "{%s}", now).ptr);
    assert_string_equal(make_job(arena, old_spec, &old), "");
    value_set(arena, old, STR("status"), road_parse(arena, status));
    Value *job = value_copy(arena, old);
    for (uint32_t i = 0; i < changes->n; i++)
        value_set(arena, value_get(job, STR("spec")), changes->members[i].key,
                  changes->members[i].value);
    Value *template_spec = value_at(changes, "templateSpec");
    value_unset(value_get(job, STR("spec")), STR("templateSpec"));
    for (uint32_t i = 0; template_spec && i < template_spec->n; i++)
        value_set(arena, value_at(job, "spec.template.spec"), template_spec->members[i].key,
                  template_spec->members[i].value);
    kinds_resource_batch_v1_jobs()->rules->validate_update(&errors, job, old);
    return road_problems(&errors);
}

// ValidateJobSpecUpdate
static void test_job_update(void **state) {
    static const struct {
        const char *old, *status, *now, *problems;
    } cases[] = {
        {NEVER, "{}", "'parallelism':3,'suspend':true,'backoffLimit':9", ""},
        {NEVER, "{}", "'completions':2",
         "spec.completions: Invalid value: 2: field is immutable\n"},
        {INDEXED "'parallelism':5," NEVER, "{}", "'completions':6,'parallelism':6", ""},
        {INDEXED "'parallelism':5," NEVER, "{}", "'completions':6",
         "spec.completions: Invalid value: 6: can only be modified in tandem with "
         "spec.parallelism\n"},
        {NEVER, "{}", "'selector':{'matchLabels':{'a':'b'}}",
         "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: field is immutable\n"},
        {INDEXED NEVER, "{}", "'backoffLimitPerIndex':1",
         "spec.backoffLimitPerIndex: Invalid value: 1: field is immutable\n"},
        {INDEXED NEVER, "{}", "'completionMode':'NonIndexed'",
         "spec.completionMode: Invalid value: \"NonIndexed\": field is immutable\n"},
        {NEVER, "{}", "'managedBy':'a.io/b'",
         "spec.managedBy: Invalid value: \"a.io/b\": field is immutable\n"},
        {NEVER, "{}", "'podFailurePolicy':{'rules':[]}",
         "spec.podFailurePolicy: Invalid value: {\"Rules\":[]}: field is immutable\n"},
        {INDEXED NEVER, "{}", "'successPolicy':{'rules':[{'succeededCount':1}]}",
         "spec.successPolicy: Invalid value: {\"Rules\":[{\"SucceededIndexes\":null,"
         "\"SucceededCount\":1}]}: field is immutable\n"},
        // Where the pods go may change while it is suspended and has not begun.
        {"'suspend':true," NEVER, "{}",
         "'templateSpec':{'nodeSelector':{'a':'b'},'tolerations':[{'operator':'Exists'}],"
         "'affinity':{'nodeAffinity':{}},'schedulingGates':[{'name':'g'}]}",
         ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        expect(cases[i].now, change(arena, cases[i].old, cases[i].status, cases[i].now),
               cases[i].problems);
    }
    static const struct {
        const char *old, *status, *now;
    } fixed[] = {
        {NEVER, "{}", "'templateSpec':{'nodeSelector':{'a':'b'}}"},
        {"'suspend':true," NEVER, "{'startTime':'2026-11-27T10:00:00Z'}",
         "'templateSpec':{'nodeSelector':{'a':'b'}}"},
        {"'suspend':true," NEVER, "{}", "'templateSpec':{'hostNetwork':true}"},
        {"'suspend':true," NEVER, "{}", "'templateSpec':{'affinity':{'podAffinity':{}}}"},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        _arena_free_ Arena *arena = arena_new();
        Str problems = str_from(change(arena, fixed[i].old, fixed[i].status, fixed[i].now));
        assert_true(str_starts_with(problems, STR("spec.template: Invalid value: {\"labels\":{")));
        assert_true(str_ends_with(problems, STR(": field is immutable\n")));
    }
}

#define COND(type) "{'type':'" type "','status':'True'}"
#define START "'startTime':'2026-11-27T10:00:00Z'"
#define END "'completionTime':'2026-11-27T11:00:00Z'"
#define AT_CONDITIONS "status.conditions: Invalid value: "

// validateJobStatus, ValidateJobStatusUpdate
static void test_job_status(void **state) {
    static const struct {
        const char *spec, *old, *now, *problems;
    } cases[] = {
        {NEVER, "{" START ",'active':1}",
         "{" START "," END
         ",'succeeded':1,'conditions':[" COND("SuccessCriteriaMet") "," COND("Complete") "]}",
         ""},
        {NEVER, "{}", "{" START ",'conditions':[" COND("FailureTarget") "," COND("Failed") "]}",
         ""},
        {NEVER, "{}", "{" START ",'conditions':[" COND("Failed") "]}",
         AT_CONDITIONS "cannot set Failed=True condition without the FailureTarget=true "
                       "condition\n"},
        {NEVER, "{}", "{" START "," END ",'conditions':[" COND("Complete") "]}",
         AT_CONDITIONS "cannot set Complete=True condition without the SuccessCriteriaMet=true "
                       "condition\n"},
        {NEVER, "{}",
         "{" START "," END ",'conditions':[" COND("SuccessCriteriaMet") "," COND(
             "Complete") "," COND("FailureTarget") "," COND("Failed") "]}",
         AT_CONDITIONS
         "cannot set Complete=True and Failed=true conditions\n" AT_CONDITIONS
         "cannot set Complete=True and FailureTarget=true conditions\n" AT_CONDITIONS
         "cannot set SuccessCriteriaMet=True and Failed=true conditions\n" AT_CONDITIONS
         "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions\n"},
        {NEVER, "{" START ",'conditions':[" COND("FailureTarget") "," COND("Failed") "]}",
         "{" START "}",
         AT_CONDITIONS "cannot disable the terminal Failed=True condition\n" AT_CONDITIONS
                       "cannot disable the terminal FailureTarget=True condition\n"},
        {NEVER, "{'conditions':[" COND("SuccessCriteriaMet") "]}", "{}",
         AT_CONDITIONS "cannot disable the SuccessCriteriaMet=True condition\n"},
        {NEVER, "{}", "{" START "," END "}",
         "status.completionTime: Invalid value: \"2026-11-27T11:00:00Z\": cannot set "
         "completionTime "
         "when there is no Complete=True condition\n"},
        {NEVER, "{}",
         "{" START ",'conditions':[" COND("SuccessCriteriaMet") "," COND("Complete") "]}",
         "status.completionTime: Required value: completionTime is required for Complete jobs\n"},
        {NEVER, "{}",
         "{'startTime':'2026-11-27T12:00:00Z'," END
         ",'conditions':[" COND("SuccessCriteriaMet") "," COND("Complete") "]}",
         "status.completionTime: Invalid value: \"2026-11-27T11:00:00Z\": completionTime cannot be "
         "set before startTime\n"},
        {NEVER, "{" START "}", "{}",
         "status.startTime: Required value: startTime cannot be removed for unsuspended job\n"},
        {"'suspend':true," NEVER, "{" START "}", "{}", ""},
        {NEVER, "{}",
         "{'active':1,'terminating':1,'uncountedTerminatedPods':{'failed':['x']},'conditions':"
         "[" COND("FailureTarget") "," COND("Failed") "]}",
         "status.active: Invalid value: 1: active>0 is invalid for finished job\n"
         "status.startTime: Required value: startTime is required for finished job\n"
         "status.uncountedTerminatedPods: Invalid value: {\"failed\":[\"x\"]}: "
         "uncountedTerminatedPods needs to be empty for finished job\n"
         "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job\n"},
        {NEVER, "{'failed':2,'succeeded':3}", "{'failed':1,'succeeded':2}",
         "status.failed: Invalid value: 1: cannot decrease the failed counter\n"
         "status.succeeded: Invalid value: 2: cannot decrease the succeeded counter\n"},
        {INDEXED "'parallelism':5," NEVER, "{'succeeded':3}", "{'succeeded':2}", ""},
        {NEVER, "{}", "{'active':1,'ready':2}",
         "status.ready: Invalid value: 2: cannot set more ready pods than active\n"},
        {NEVER, "{}", "{'active':-1,'succeeded':-1,'failed':-1,'ready':-1,'terminating':-1}",
         "status.active: Invalid value: -1: " NOT_NEGATIVE
         "status.succeeded: Invalid value: -1: " NOT_NEGATIVE
         "status.failed: Invalid value: -1: " NOT_NEGATIVE
         "status.terminating: Invalid value: -1: " NOT_NEGATIVE
         "status.ready: Invalid value: -1: " NOT_NEGATIVE
         "status.failed: Invalid value: -1: cannot decrease the failed counter\n"
         "status.succeeded: Invalid value: -1: cannot decrease the succeeded counter\n"},
        {NEVER, "{}", "{'completedIndexes':'0'}",
         "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes "
         "when "
         "non-indexed completion mode\n"},
        {INDEXED NEVER, "{}", "{'completedIndexes':'0,9','failedIndexes':'1'}",
         "status.completedIndexes: Invalid value: \"0,9\": error parsing completedIndexes: too "
         "large "
         "index: \"9\"\n"
         "status.failedIndexes: Invalid value: \"1\": cannot set non-null failedIndexes when "
         "backoffLimitPerIndex is null\n"},
        {INDEXED "'backoffLimitPerIndex':1," NEVER, "{}",
         "{'completedIndexes':'0,2-4','failedIndexes':'1,3'}",
         "status.failedIndexes: Invalid value: \"1,3\": failedIndexes and completedIndexes overlap "
         "at index: 3\n"},
        {INDEXED "'backoffLimitPerIndex':1," NEVER, "{}", "{'failedIndexes':'3-1'}",
         "status.failedIndexes: Invalid value: \"3-1\": error parsing failedIndexes: "
         "non-increasing "
         "order, previous: 3, current: 1\n"},
        {NEVER, "{}", "{'uncountedTerminatedPods':{'succeeded':['a',''],'failed':['a']}}",
         "status.uncountedTerminatedPods.succeeded[1]: Invalid value: \"\": must not be empty\n"
         "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"\n"},
    };
    const Resource *resource = kinds_resource_batch_v1_jobs();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        FieldErrors errors = {.arena = arena};
        Value *old;
        assert_string_equal(make_job(arena, cases[i].spec, &old), "");
        Value *job = value_copy(arena, old);
        value_set(arena, old, STR("status"), road_parse(arena, cases[i].old));
        value_set(arena, job, STR("status"), road_parse(arena, cases[i].now));
        schema_validate_type(&errors, type_field(resource->type, STR("status"))->type,
                             value_get(job, STR("status")), NULL, PATH(NULL, STR("status")));
        resource->rules->validate_status_update(&errors, job, old);
        expect(cases[i].now, road_problems(&errors), cases[i].problems);
    }
}

#define JOB "'jobTemplate':{'spec':{" NEVER "}}"
#define NO_ZONE(name, why)                                                                         \
    {                                                                                              \
        "'schedule':'* * * * *','timeZone':'" name "'," JOB,                                       \
            "spec.timeZone: Invalid value: \"" name "\": " why "\n"                                \
    }

// validateCronJobSpec, validateTimeZone, ValidateJobTemplateSpec
static void test_cron_job(void **state) {
    static const Case cases[] = {
        {"'schedule':'*/5 0 * jan-jun mon','timeZone':'Europe/Berlin'," JOB, ""},
        {JOB, "spec.schedule: Required value\n"},
        {"'schedule':'error'," JOB, "spec.schedule: Invalid value: \"error\": expected exactly 5 "
                                    "fields, found 1: [error]\n"},
        {"'schedule':'TZ=UTC * * * * *'," JOB, "spec.schedule: Invalid value: \"TZ=UTC * * * * "
                                               "*\": cannot use TZ or CRON_TZ in schedule, "
                                               "use timeZone field instead\n"},
        NO_ZONE("", "timeZone must be nil or non-empty string"),
        NO_ZONE("Mars/Base", "unknown time zone Mars/Base"),
        NO_ZONE("../Berlin", "unknown time zone ../Berlin"),
        NO_ZONE("local", "timeZone must be an explicit time zone as defined in "
                         "https://www.iana.org/time-zones"),
        {"'schedule':'* * * * *','startingDeadlineSeconds':-1,'successfulJobsHistoryLimit':-1,"
         "'failedJobsHistoryLimit':-1,'concurrencyPolicy':'Some'," JOB,
         "spec.startingDeadlineSeconds: Invalid value: -1: " NOT_NEGATIVE
         "spec.concurrencyPolicy: Unsupported value: \"Some\": supported values: \"Allow\", "
         "\"Forbid\", \"Replace\"\n"
         "spec.successfulJobsHistoryLimit: Invalid value: -1: " NOT_NEGATIVE
         "spec.failedJobsHistoryLimit: Invalid value: -1: " NOT_NEGATIVE},
        {"'schedule':'* * * * *','jobTemplate':{'spec':{'manualSelector':true," SELECTOR "," NEVER
         "}}",
         "spec.jobTemplate.spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\"}}: "
         "`selector` will be auto-generated\n"
         "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "
         "\"nil\", "
         "\"false\"\n"},
        {"'schedule':'* * * * "
         "*','jobTemplate':{'spec':{'parallelism':-1,'template':{'spec':{" CONTAINERS "}}}}",
         "spec.jobTemplate.spec.parallelism: Invalid value: -1: " NOT_NEGATIVE
         "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "
         "\"OnFailure\", \"Never\"\n"},
    };
    const Resource *resource = kinds_resource_batch_v1_cronjobs();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        expect(cases[i].json, workload_create(arena, resource, cases[i].json, NULL),
               cases[i].problems);
    }
    _arena_free_ Arena *arena = arena_new();
    const char *good = "{'metadata':{'name':'c'},'spec':{'schedule':'* * * * *'," JOB "}}";
    expect(
        "update",
        road_update(arena, resource, good,
                    "{'metadata':{'name':'c'},'spec':{'schedule':'TZ=UTC * * * * *',"
                    "'timeZone':'Mars/Base'," JOB "}}",
                    NULL),
        "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, "
        "use timeZone field instead\n"
        "spec.timeZone: Invalid value: \"Mars/Base\": unknown time zone Mars/Base\n");
    expect(
        "a long name",
        road_create(arena, resource,
                    "{'metadata':{'name':"
                    "'n23456789-123456789-123456789-123456789-123456789-123'},'spec':{"
                    "'schedule':'* * * * *'," JOB "}}",
                    NULL),
        "metadata.name: Invalid value: \"n23456789-123456789-123456789-123456789-123456789-123\": "
        "must be no more than 52 characters\n");
}

// WarningsForJobSpec (pkg/api/job/warnings.go)
static void test_warnings(void **state) {
    static const char text[] =
        "spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism "
        "higher than 10^4, Kubernetes might not be able to track completedIndexes when a big "
        "number "
        "of indexes fail";
    const Resource *jobs = kinds_resource_batch_v1_jobs();
    _arena_free_ Arena *arena = arena_new();
    ValuePaths warnings = {0};
    Value *job;
    assert_string_equal(make_job(arena,
                                 "'completionMode':'Indexed','completions':100001,'parallelism':"
                                 "10001," NEVER,
                                 &job),
                        "");
    jobs->rules->warn(arena, job, &warnings);
    assert_int_equal(warnings.n, 1);
    assert_true(str_eq(warnings.paths[0], str_from(text)));
    warnings.n = 0;
    value_set_int(arena, value_get(job, STR("spec")), STR("parallelism"), 10000);
    jobs->rules->warn(arena, job, &warnings);
    assert_int_equal(warnings.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_spec),       cmocka_unit_test(test_failure_policy),
        cmocka_unit_test(test_success_policy), cmocka_unit_test(test_selector),
        cmocka_unit_test(test_job_update),     cmocka_unit_test(test_job_status),
        cmocka_unit_test(test_cron_job),       cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

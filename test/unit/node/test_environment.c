#include "fake_api.h"

#include <stdio.h>

#include "node/environment.h"

// Expansion --------------------------------------------------------------------------------------

static void expands(const char *text, const char *expected) {
    static const RuntimePair env[] = {
        {{"A", 1}, {"one", 3}}, {{"B", 1}, {"", 0}}, {{"A.b-c", 5}, {"dots", 4}}};
    _arena_free_ Arena *arena = arena_new();
    Str result = environment_expand(arena, str_from(text), env, 3);
    assert_int_equal(result.len, strlen(expected));
    assert_memory_equal(result.ptr, expected, result.len);
}

static void test_expansion(void **state) {
    expands("", "");
    expands("plain", "plain");
    expands("$(A)", "one");
    expands("x$(A)y$(A)z", "xoneyonez");
    expands("$(B)", "");
    expands("$(A.b-c)", "dots");
    expands("$(missing)", "$(missing)");
    expands("$$(A)", "$(A)");
    expands("$$$(A)", "$one");
    expands("$$$$(A)", "$$(A)");
    expands("$A", "$A");
    expands("$(A", "$(A");
    expands("$(A$(A)", "$(A$(A)");
    expands("end$", "end$");
    expands("$$", "$");
    expands("$", "$");
    expands("$()", "$()");
    expands("$(()", "$(()");
}

// Requests ---------------------------------------------------------------------------------------

typedef struct Answer {
    EnvironmentRequest *request;
    int calls, error;
    char message[512], env[8192];
    bool free_inside;
} Answer;

static void on_done(void *user, int error, Str message, const RuntimePair *env, size_t n) {
    Answer *answer = user;
    answer->calls++;
    answer->error = error;
    snprintf(answer->message, sizeof answer->message, "%.*s", STR_ARG(message));
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(answer->env + at, sizeof answer->env - at, "%.*s=%.*s\n",
                               STR_ARG(env[i].name), STR_ARG(env[i].value));
    if (answer->free_inside) {
        environment_free(answer->request);
        answer->request = NULL;
    }
}

static void start(FakeApi *api, Answer *answer, const Pod *pod) {
    *answer = (Answer){.free_inside = true};
    answer->request = environment_new(&api->agent, pod, &pod->spec.containers.items[0],
                                      STR("10.42.0.5"), on_done, answer);
    assert_int_equal(answer->calls, 0); // never from inside the call
}

static void ask(FakeApi *api, Answer *answer, const char *yaml) {
    _arena_free_ Arena *arena = arena_new();
    Pod *pod = fake_pod(arena, yaml);
    start(api, answer, pod);
    fake_api_run(api, NSEC_PER_SEC);
    assert_int_equal(answer->calls, 1);
}

#define HEAD                                                                                       \
    "spec: {enableServiceLinks: false, nodeName: n1, serviceAccountName: sa, containers: [{name: " \
    "c, "

static void test_precedence(void **state) {
    FakeApi *api = fake_api_new();
    fake_api_put(api, "configmaps", "default", "one", "\"data\":{\"A\":\"cm1\",\"B\":\"cm1\"}");
    fake_api_put(api, "configmaps", "default", "two", "\"data\":{\"B\":\"cm2\",\"D\":\"cm2\"}");
    fake_api_put(api, "secrets", "default", "s",
                 "\"data\":{\"C\":\"c2VjcmV0\",\"D\":\"c2VjcmV0\"}");
    Answer answer;
    ask(api, &answer,
        HEAD
        "envFrom: [{configMapRef: {name: one}}, {configMapRef: {name: two}}, "
        "{secretRef: {name: s}, prefix: P_}], "
        "env: [{name: A, value: own}, {name: E, value: \"$(A)-$(B)-$(F)\"}, {name: F, value: f}, "
        "{name: A, value: \"$(A)2\"}, {name: G, valueFrom: {secretKeyRef: {name: s, key: C}}}, "
        "{name: H, valueFrom: {configMapKeyRef: {name: one, key: B}}}]}]}");
    assert_string_equal(answer.message, "");
    assert_string_equal(answer.env, "A=own2\nB=cm2\nD=cm2\nP_C=secret\nP_D=secret\n"
                                    "E=own-cm2-$(F)\nF=f\nG=secret\nH=cm1\n");
    fake_api_free(api);
}

static void test_fields(void **state) {
    FakeApi *api = fake_api_new();
    Answer answer;
    ask(api, &answer,
        "metadata: {labels: {b: 'two \"q\"', a: one}, annotations: {k: v}}\n" HEAD
        "resources: {limits: {cpu: 1500m, memory: 64Mi}, requests: {memory: 100M}}, env: ["
        "{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}},"
        "{name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}},"
        "{name: LABEL, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['a']\"}}},"
        "{name: NONE, valueFrom: {fieldRef: {fieldPath: \"metadata.annotations['x']\"}}},"
        "{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}},"
        "{name: SA, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}},"
        "{name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}},"
        "{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}},"
        "{name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}},"
        "{name: MILLI, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}},"
        "{name: MIB, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}},"
        "{name: ZERO, valueFrom: {resourceFieldRef: {resource: requests.cpu}}}]}]}");
    assert_string_equal(answer.message, "");
    assert_string_equal(answer.env, "NAME=p\nUID=uid-1\nLABEL=one\nNONE=\nNODE=n1\nSA=sa\n"
                                    "HOST=192.168.1.9\nIP=10.42.0.5\nCPU=2\nMILLI=1500\nMIB=96\n"
                                    "ZERO=0\n");
    ask(api, &answer, HEAD "env: [{name: X, valueFrom: {fieldRef: {fieldPath: spec.x}}}]}]}");
    assert_string_equal(answer.message, "unsupported fieldPath: spec.x");
    ask(api, &answer,
        HEAD "env: [{name: X, valueFrom: {resourceFieldRef: {resource: limits.x}}}]}]}");
    assert_string_equal(answer.message, "unsupported container resource : limits.x");
    ask(api, &answer,
        HEAD "env: [{name: X, valueFrom: {resourceFieldRef: {containerName: other, "
             "resource: limits.cpu}}}]}]}");
    assert_string_equal(answer.message, "container other not found");
    fake_api_free(api);
}

static void test_missing(void **state) {
    FakeApi *api = fake_api_new();
    fake_api_put(api, "configmaps", "default", "there", "\"data\":{\"k\":\"v\"}");
    fake_api_put(api, "secrets", "default", "there", "\"data\":{\"k\":\"AA==\"}");
    const struct {
        const char *container, *message;
    } cases[] = {
        {"envFrom: [{configMapRef: {name: x}}]", "configmap \"x\" not found"},
        {"envFrom: [{secretRef: {name: x}}]", "secret \"x\" not found"},
        {"env: [{name: V, valueFrom: {configMapKeyRef: {name: x, key: k}}}]",
         "configmap \"x\" not found"},
        {"env: [{name: V, valueFrom: {configMapKeyRef: {name: there, key: z}}}]",
         "couldn't find key z in ConfigMap default/there"},
        {"env: [{name: V, valueFrom: {secretKeyRef: {name: there, key: z}}}]",
         "couldn't find key z in Secret default/there"},
        {"env: [{name: V, valueFrom: {secretKeyRef: {name: there, key: k}}}]",
         "environment variable \"V\" cannot be set: a name must not contain '=' and no value a NUL "
         "byte"},
    };
    Answer answer;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char yaml[512];
        snprintf(yaml, sizeof yaml, HEAD "%s}]}", cases[i].container);
        ask(api, &answer, yaml);
        assert_true(answer.error < 0);
        assert_string_equal(answer.message, cases[i].message);
    }
    ask(api, &answer,
        HEAD "envFrom: [{configMapRef: {name: x, optional: true}}], env: ["
             "{name: A, valueFrom: {configMapKeyRef: {name: there, key: z, optional: true}}}, "
             "{name: B, valueFrom: {secretKeyRef: {name: x, key: z, optional: true}}}, "
             "{name: C, value: c}]}]}");
    assert_string_equal(answer.message, "");
    assert_string_equal(answer.env, "C=c\n");
    fake_api_free(api);
}

static const char web[] =
    "\"spec\":{\"clusterIP\":\"10.43.0.7\",\"ports\":[{\"name\":\"http\",\"port\":80},"
    "{\"name\":\"d-ns\",\"port\":53,\"protocol\":\"UDP\"}]}";

static void test_services(void **state) {
    FakeApi *api = fake_api_new();
    fake_api_put(api, "services", "default", "kubernetes",
                 "\"spec\":{\"clusterIP\":\"10.43.0.1\",\"ports\":[{\"name\":\"https\","
                 "\"port\":443,\"protocol\":\"TCP\"}]}");
    fake_api_put(api, "services", "default", "my-web.1", web);
    fake_api_put(api, "services", "default", "headless",
                 "\"spec\":{\"clusterIP\":\"None\",\"ports\":[{\"port\":1}]}");
    fake_api_put(api, "services", "other", "else", web);
    Answer answer;
    ask(api, &answer,
        "spec: {containers: [{name: c, env: [{name: MY_WEB_1_PORT, value: mine}, "
        "{name: URL, value: \"http://$(MY_WEB_1_SERVICE_HOST)/\"}]}]}");
    assert_string_equal(
        answer.env,
        "MY_WEB_1_PORT=mine\n"
        "URL=http://10.43.0.7/\n"
        "KUBERNETES_SERVICE_HOST=10.43.0.1\nKUBERNETES_SERVICE_PORT=443\n"
        "KUBERNETES_SERVICE_PORT_HTTPS=443\nKUBERNETES_PORT=tcp://10.43.0.1:443\n"
        "KUBERNETES_PORT_443_TCP=tcp://10.43.0.1:443\nKUBERNETES_PORT_443_TCP_PROTO=tcp\n"
        "KUBERNETES_PORT_443_TCP_PORT=443\nKUBERNETES_PORT_443_TCP_ADDR=10.43.0.1\n"
        "MY_WEB_1_SERVICE_HOST=10.43.0.7\nMY_WEB_1_SERVICE_PORT=80\n"
        "MY_WEB_1_SERVICE_PORT_HTTP=80\nMY_WEB_1_SERVICE_PORT_D_NS=53\n"
        "MY_WEB_1_PORT_80_TCP=tcp://10.43.0.7:80\nMY_WEB_1_PORT_80_TCP_PROTO=tcp\n"
        "MY_WEB_1_PORT_80_TCP_PORT=80\nMY_WEB_1_PORT_80_TCP_ADDR=10.43.0.7\n"
        "MY_WEB_1_PORT_53_UDP=udp://10.43.0.7:53\nMY_WEB_1_PORT_53_UDP_PROTO=udp\n"
        "MY_WEB_1_PORT_53_UDP_PORT=53\nMY_WEB_1_PORT_53_UDP_ADDR=10.43.0.7\n");
    ask(api, &answer, "metadata: {namespace: other}\n" HEAD "image: x}]}");
    assert_non_null(strstr(answer.env, "KUBERNETES_SERVICE_HOST=10.43.0.1\n"));
    assert_null(strstr(answer.env, "ELSE_"));
    fake_api_put(api, "services", "other", "kubernetes", web);
    ask(api, &answer, "metadata: {namespace: other}\nspec: {containers: [{name: c}]}");
    assert_non_null(strstr(answer.env, "KUBERNETES_SERVICE_HOST=10.43.0.7\n"));
    assert_null(strstr(answer.env, "10.43.0.1"));
    assert_non_null(strstr(answer.env, "ELSE_SERVICE_HOST=10.43.0.7\n"));
    fake_api_free(api);
}

static void test_cancel(void **state) {
    FakeApi *api = fake_api_new();
    _arena_free_ Arena *arena = arena_new();
    Pod *pod = fake_pod(arena, HEAD "envFrom: [{configMapRef: {name: x}}]}]}");
    Answer answer;
    start(api, &answer, pod);
    environment_free(answer.request);
    fake_api_run(api, NSEC_PER_SEC);
    assert_int_equal(answer.calls, 0);
    fake_api_free(api);
}

static void test_sharing(void **state) { // one list an object, however many ask, and fresh content
    FakeApi *api = fake_api_new();
    fake_api_put(api, "configmaps", "default", "one", "\"data\":{\"A\":\"1\"}");
    Answer answer;
    const char *yaml = HEAD "envFrom: [{configMapRef: {name: one}}]}]}";
    ask(api, &answer, yaml);
    unsigned lists = api->lists;
    fake_api_put(api, "configmaps", "default", "one", "\"data\":{\"A\":\"2\"}");
    ask(api, &answer, yaml);
    assert_string_equal(answer.env, "A=2\n");
    assert_int_equal(api->lists, lists);
    fake_api_run(api, 60 * NSEC_PER_SEC); // nobody asks any more
    ask(api, &answer, yaml);
    assert_int_equal(api->lists, lists + 1);
    fake_api_free(api);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expansion), cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_fields),    cmocka_unit_test(test_missing),
        cmocka_unit_test(test_services),  cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_sharing),
    };
    return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}

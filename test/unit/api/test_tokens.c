// Bearer tokens of each kind, good and bad.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/auth/static_tokens.h"
#include "base/time.h"
#include "harness.h"
#include "pki/pki.h"

#define ACCOUNTS "/api/v1/namespaces/default/serviceaccounts"
#define SECRETS "/api/v1/namespaces/default/secrets"

typedef struct World {
    Harness *h;
    HttpClient *outsider; // nothing but what it sends speaks for it
} World;

static void from_outside(void *api, HttpRequest *request) {
    request->peer = (HttpPeer){.address = STR("192.0.2.9:1")};
    api_handle(api, request);
}

static HttpClient *outsider(Harness *h) {
    HttpPeer peer = {.address = STR("@")};
    return http_client_new_local(h->loop, h->loop, from_outside, h->api, &peer);
}

static World world_new(const char *static_tokens) {
    Harness *h = harness_new();
    h->static_tokens = static_tokens;
    harness_restart(h);
    return (World){h, outsider(h)};
}

static void world_free(World *world) {
    http_client_free(world->outsider);
    harness_free(world->h);
}

// The user that a token stands for; NULL: 401.
static Answer *who(World *world, const char *token) {
    char header[20000];
    snprintf(header, sizeof header, "Bearer %s", token);
    Answer *answer = call_with(world->h, world->outsider, "POST",
                               "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}",
                               (const char *const[]){"Authorization", header, NULL});
    if (answer->status == 401)
        return NULL;
    assert_status(answer, 201);
    return answer;
}

static bool has_group(const Answer *answer, const char *group) {
    const Value *groups = value_at(answer->json, "status.userInfo.groups");
    for (uint32_t i = 0; groups && i < groups->n; i++) {
        if (str_eq(groups->items[i]->string, str_from(group)))
            return true;
    }
    return false;
}

static const char *name_of(const Answer *answer) {
    assert_non_null(answer);
    return text_at(answer, "status.userInfo.username");
}

static Answer *review(World *world, const char *token, const char *audiences) {
    char body[20000];
    snprintf(body, sizeof body, "{\"spec\":{\"token\":\"%s\",\"audiences\":[%s]}}", token,
             audiences);
    Answer *answer = call(world->h, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", body);
    assert_status(answer, 201);
    return answer;
}

static bool is_authenticated(const Answer *answer) {
    return value_bool_at(answer->json, "status.authenticated", false);
}

// ---- the static token file

static void test_static_tokens(void **state) {
    World w = world_new("t0ken,jane,uid-1,\"dev,ops\"\n"
                        "other,\"joe, the \"\"second\"\"\",uid-2\r\n"
                        "\n"
                        ",nobody,uid-3\n"
                        "t0ken-two,ann,uid-4,dev\n");
    Answer *jane = who(&w, "t0ken");
    assert_string_equal(name_of(jane), "jane");
    assert_string_equal(text_at(jane, "status.userInfo.uid"), "uid-1");
    assert_true(has_group(jane, "dev") && has_group(jane, "ops"));
    assert_true(has_group(jane, "system:authenticated"));
    assert_string_equal(name_of(who(&w, "other")), "joe, the \"second\"");
    assert_true(has_group(who(&w, "t0ken-two"), "dev"));
    assert_null(who(&w, "t0ke"));
    assert_null(who(&w, "t0kens"));
    // Such a token is meant for the server itself, and no one else.
    assert_true(is_authenticated(review(&w, "t0ken", "")));
    assert_true(is_authenticated(
        review(&w, "t0ken", "\"x\",\"https://kubernetes.default.svc.cluster.local\"")));
    assert_false(is_authenticated(review(&w, "t0ken", "\"x\"")));
    world_free(&w);
}

static void test_bad_token_files(void **state) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a,b", "must have at least 3 columns (token, user name, user uid), found 2 in line 1"},
        {"a,b,c\nx", "must have at least 3 columns (token, user name, user uid), found 1 in line 2"},
        {"a,\"b,c", "a quote in line 1 does not end"},
        {"a,\"b\"c,d", "a quote in line 1 does not end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _arena_free_ Arena *arena = arena_new();
        Str message = STR("");
        assert_null(static_tokens_new(arena, str_from(cases[i].text), &message));
        assert_string_equal(arena_cstr(arena, message), cases[i].message);
    }
}

// ---- bootstrap tokens (bootstrap/token's authenticator, pkg/auth/authenticator/token/bootstrap)

#define BOOTSTRAP "/api/v1/namespaces/kube-system/secrets"

static void make_bootstrap(World *w, const char *name, const char *type, const char *data) {
    char body[1024], path[128];
    snprintf(path, sizeof path, BOOTSTRAP "/%s", name);
    call(w->h, "DELETE", path, NULL);
    snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\"},\"type\":\"%s\",\"stringData\":{%s}}",
             name, type, data);
    assert_status(call(w->h, "POST", BOOTSTRAP, body), 201);
}

#define TYPE "bootstrap.kubernetes.io/token"
#define GOOD                                                                                       \
    "\"token-id\":\"abcdef\",\"token-secret\":\"0123456789abcdef\","                               \
    "\"usage-bootstrap-authentication\":\"true\""
#define TOKEN "abcdef.0123456789abcdef"

static void test_bootstrap_tokens(void **state) {
    World w = world_new(NULL);
    assert_null(who(&w, TOKEN));
    make_bootstrap(&w, "bootstrap-token-abcdef", TYPE,
                   GOOD ",\"auth-extra-groups\":\"system:bootstrappers:kubeadm:default-node-token\","
                        "\"expiration\":\"2026-12-01T00:00:00Z\"");
    Answer *joiner = who(&w, TOKEN);
    assert_string_equal(name_of(joiner), "system:bootstrap:abcdef");
    assert_true(has_group(joiner, "system:bootstrappers"));
    assert_true(has_group(joiner, "system:bootstrappers:kubeadm:default-node-token"));
    assert_null(who(&w, "abcdef.0123456789abcdeX"));
    assert_null(who(&w, "abcdef.0123456789abcde0"));
    assert_null(who(&w, "abcdef"));
    harness_run(w.h, 80LL * 86400 * NSEC_PER_SEC);
    assert_null(who(&w, TOKEN)); // expired
    static const struct {
        const char *name, *type, *data;
    } bad[] = {
        {"bootstrap-token-abcdef", "Opaque", GOOD},
        {"bootstrap-token-abcdef", TYPE,
         "\"token-id\":\"abcdef\",\"token-secret\":\"0123456789abcdef\""},
        {"bootstrap-token-abcdef", TYPE,
         "\"token-id\":\"abcdef\",\"token-secret\":\"0123456789abcdef\","
         "\"usage-bootstrap-authentication\":\"false\""},
        {"bootstrap-token-abcdef", TYPE, GOOD ",\"auth-extra-groups\":\"system:masters\""},
        {"bootstrap-token-abcdef", TYPE, GOOD ",\"auth-extra-groups\":\"system:bootstrappers:-\""},
        {"bootstrap-token-abcdef", TYPE, GOOD ",\"expiration\":\"soon\""},
        {"bootstrap-token-abcdef", TYPE,
         "\"token-id\":\"abcdeg\",\"token-secret\":\"0123456789abcdef\","
         "\"usage-bootstrap-authentication\":\"true\""},
        {"another-name", TYPE, GOOD},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        call(w.h, "DELETE", BOOTSTRAP "/bootstrap-token-abcdef", NULL);
        make_bootstrap(&w, bad[i].name, bad[i].type, bad[i].data);
        if (who(&w, TOKEN))
            fail_msg("accepted: %s %s %s", bad[i].name, bad[i].type, bad[i].data);
    }
    make_bootstrap(&w, "bootstrap-token-abcdef", TYPE, GOOD);
    assert_non_null(who(&w, TOKEN));
    world_free(&w);
}

// ---- service accounts

static const char *sign(World *w, const char *payload) {
    Str token;
    assert_int_equal(
        pki_jwt_sign(w->h->arena, w->h->service_account_key, str_from(payload), &token), 0);
    return arena_cstr(w->h->arena, token);
}

// Each claim wrong in its turn, signed by the right key all the same.
static void test_claims(void **state) {
    World w = world_new(NULL);
    Answer *account = call(w.h, "POST", ACCOUNTS, "{\"metadata\":{\"name\":\"robot\"}}");
    assert_status(account, 201);
    const char *uid = text_at(account, "metadata.uid");
    int64_t now = loop_wall(w.h->loop) / NSEC_PER_SEC;
    static const char right[] = "https://kubernetes.default.svc.cluster.local";
    const struct {
        const char *what, *issuer, *audience, *namespace_, *name, *uid;
        int64_t expires, not_before;
        bool good;
    } cases[] = {
        {"all good", right, right, "default", "robot", uid, now + 60, now, true},
        {"issuer", "https://elsewhere", right, "default", "robot", uid, now + 60, now, false},
        {"audience", right, "vault", "default", "robot", uid, now + 60, now, false},
        {"namespace", right, right, "kube-system", "robot", uid, now + 60, now, false},
        {"name", right, right, "default", "other", uid, now + 60, now, false},
        {"uid", right, right, "default", "robot", "x", now + 60, now, false},
        {"expired", right, right, "default", "robot", uid, now, now, false},
        {"never expires", right, right, "default", "robot", uid, 0, now, false},
        {"not yet", right, right, "default", "robot", uid, now + 60, now + 30, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char payload[1024];
        snprintf(payload, sizeof payload,
                 "{\"iss\":\"%s\",\"aud\":[\"%s\"],\"exp\":%lld,\"nbf\":%lld,\"sub\":\"s\","
                 "\"kubernetes.io\":{\"namespace\":\"%s\",\"serviceaccount\":{\"name\":\"%s\","
                 "\"uid\":\"%s\"}}}",
                 cases[i].issuer, cases[i].audience, (long long)cases[i].expires,
                 (long long)cases[i].not_before, cases[i].namespace_, cases[i].name, cases[i].uid);
        if ((who(&w, sign(&w, payload)) != NULL) != cases[i].good)
            fail_msg("%s", cases[i].what);
    }
    static const char *const nonsense[] = {"[]", "{}", "null", "{\"iss\":5}", "x"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++)
        assert_null(who(&w, sign(&w, nonsense[i])));
    // Another cluster's key, and no signature at all.
    Str key, token;
    assert_int_equal(pki_key_new(w.h->arena, &key), 0);
    char payload[1024];
    snprintf(payload, sizeof payload,
             "{\"iss\":\"%s\",\"aud\":[\"%s\"],\"exp\":%lld,\"nbf\":%lld,\"kubernetes.io\":{"
             "\"namespace\":\"default\",\"serviceaccount\":{\"name\":\"robot\",\"uid\":\"%s\"}}}",
             right, right, (long long)now + 60, (long long)now, uid);
    assert_int_equal(pki_jwt_sign(w.h->arena, key, str_from(payload), &token), 0);
    assert_null(who(&w, arena_cstr(w.h->arena, token)));
    Str none = arena_printf(w.h->arena, "%.*s.%.*s.",
                            STR_ARG(pki_base64url(w.h->arena, STR("{\"alg\":\"none\"}"))),
                            STR_ARG(pki_base64url(w.h->arena, str_from(payload))));
    assert_null(who(&w, arena_cstr(w.h->arena, none)));
    assert_non_null(who(&w, sign(&w, payload)));
    world_free(&w);
}

// A token that is bound to a Secret or a Node dies with it.
static void test_bound(void **state) {
    World w = world_new(NULL);
    assert_status(call(w.h, "POST", ACCOUNTS, "{\"metadata\":{\"name\":\"robot\"}}"), 201);
    assert_status(call(w.h, "POST", SECRETS, "{\"metadata\":{\"name\":\"s\"}}"), 201);
    assert_status(call(w.h, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n\"}}"), 201);
    static const struct {
        const char *kind, *name, *path;
    } bound[] = {{"Secret", "s", SECRETS "/s"}, {"Node", "n", "/api/v1/nodes/n"}};
    for (int i = 0; i < 2; i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"spec\":{\"boundObjectRef\":{\"apiVersion\":\"v1\",\"kind\":\"%s\",\"name\":"
                 "\"%s\"}}}",
                 bound[i].kind, bound[i].name);
        Answer *made = call(w.h, "POST", ACCOUNTS "/robot/token", body);
        assert_status(made, 201);
        const char *token = text_at(made, "status.token");
        assert_non_null(who(&w, token));
        assert_status(call(w.h, "DELETE", bound[i].path, NULL), 200);
        assert_null(who(&w, token));
        assert_refused(call(w.h, "POST", ACCOUNTS "/robot/token", body), 404,
                       i ? "nodes \"n\" not found" : "secrets \"s\" not found");
    }
    world_free(&w);
}

// Tokens kept in Secrets (ServiceAccountToken of pkg/serviceaccount/legacy.go).
static void test_legacy(void **state) {
    World w = world_new(NULL);
    Answer *account = call(w.h, "POST", ACCOUNTS, "{\"metadata\":{\"name\":\"robot\"}}");
    char payload[1024], body[9000];
    snprintf(payload, sizeof payload,
             "{\"iss\":\"kubernetes/serviceaccount\",\"kubernetes.io/serviceaccount/namespace\":"
             "\"default\",\"kubernetes.io/serviceaccount/secret.name\":\"s\",\"kubernetes.io/"
             "serviceaccount/service-account.name\":\"robot\",\"kubernetes.io/serviceaccount/"
             "service-account.uid\":\"%s\",\"sub\":\"system:serviceaccount:default:robot\"}",
             text_at(account, "metadata.uid"));
    const char *token = sign(&w, payload);
    assert_null(who(&w, token)); // no such Secret
    snprintf(body, sizeof body,
             "{\"metadata\":{\"name\":\"s\",\"annotations\":{\"kubernetes.io/service-account.name\":"
             "\"robot\"}},\"type\":\"kubernetes.io/service-account-token\",\"stringData\":{"
             "\"token\":\"%s\"}}",
             token);
    assert_status(call(w.h, "POST", SECRETS, body), 201);
    Answer *robot = who(&w, token);
    assert_string_equal(name_of(robot), "system:serviceaccount:default:robot");
    assert_true(has_group(robot, "system:serviceaccounts:default"));
    harness_run(w.h, 400LL * 86400 * NSEC_PER_SEC); // it has no end
    assert_non_null(who(&w, token));
    assert_false(is_authenticated(review(&w, token, "\"vault\"")));
    // Signed anew: the Secret holds another token.
    assert_null(who(&w, sign(&w, payload)));
    assert_status(call(w.h, "DELETE", SECRETS "/s", NULL), 200);
    assert_null(who(&w, token));
    assert_status(call(w.h, "POST", SECRETS, body), 201);
    assert_non_null(who(&w, token));
    assert_status(call(w.h, "DELETE", ACCOUNTS "/robot", NULL), 200);
    assert_null(who(&w, token));
    world_free(&w);
}

// ---- OpenID Connect discovery (pkg/serviceaccount/openidmetadata.go)

static void test_openid(void **state) {
    World w = world_new(NULL);
    HttpClient *robot =
        harness_client(w.h, "system:serviceaccount:default:robot", "system:serviceaccounts");
    Answer *configuration =
        call_as(w.h, robot, "GET", "/.well-known/openid-configuration", NULL);
    assert_status(configuration, 200);
    assert_string_equal(text_at(configuration, "issuer"),
                        "https://kubernetes.default.svc.cluster.local");
    assert_string_equal(text_at(configuration, "jwks_uri"),
                        "https://192.0.2.1:6443/openid/v1/jwks");
    const Value *algorithms =
        value_get(configuration->json, STR("id_token_signing_alg_values_supported"));
    assert_int_equal(algorithms->n, 1);
    assert_true(str_eq(algorithms->items[0]->string, STR("ES256")));
    Answer *keys = call_as(w.h, robot, "GET", "/openid/v1/jwks", NULL);
    assert_status(keys, 200);
    assert_true(str_eq(keys->content_type, STR("application/jwk-set+json")));
    const Value *list = value_get(keys->json, STR("keys"));
    assert_int_equal(list->n, 1);
    Str public_key, kid;
    assert_int_equal(pki_public_key(w.h->arena, w.h->service_account_key, &public_key), 0);
    assert_int_equal(pki_key_id(w.h->arena, public_key, &kid), 0);
    assert_true(str_eq(value_string_at(list->items[0], "kid"), kid));
    assert_true(str_eq(value_string_at(list->items[0], "crv"), STR("P-256")));
    HttpClient *jane = harness_client(w.h, "jane", NULL);
    assert_refused(call_as(w.h, jane, "GET", "/openid/v1/jwks", NULL), 403,
                   "forbidden: User \"jane\" cannot get path \"/openid/v1/jwks\"");
    http_client_free(jane);
    http_client_free(robot);
    world_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static_tokens), cmocka_unit_test(test_bad_token_files),
        cmocka_unit_test(test_bootstrap_tokens), cmocka_unit_test(test_claims),
        cmocka_unit_test(test_bound),         cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_openid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

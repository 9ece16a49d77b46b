#pragma once
// Handlers of subresources and virtual kinds (see verbs.h), each in its own file.

#include "api/request.h"

void pod_binding_create(ApiRequest *request); // pods/NAME/binding, and bindings
void component_status_get(ApiRequest *request);
void component_status_list(ApiRequest *request);
void pod_eviction_create(ApiRequest *request);
void token_request_create(ApiRequest *request); // serviceaccounts/NAME/token
void token_review_create(ApiRequest *request);
void self_subject_review_create(ApiRequest *request);
void access_review_create(
    ApiRequest *request); // Subject-, SelfSubject- and LocalSubjectAccessReview
void rules_review_create(ApiRequest *request); // SelfSubjectRulesReview
void pod_log_get(ApiRequest *request);
void pod_stream(ApiRequest *request); // exec, attach, portforward
void node_proxy(ApiRequest *request);
void pod_proxy(ApiRequest *request); // backend_proxy.c
void service_proxy(ApiRequest *request);

// Admission of exec and its like; `options` is the subresource's own kind (PodExecOptions), as
// admission left it. `then` may come from inside the call; a refusal is answered.
typedef void (*ConnectThen)(ApiRequest *request, const Value *options);
void connect_admit(ApiRequest *request, ConnectThen then);
void metrics_get(ApiRequest *request); // metrics.k8s.io

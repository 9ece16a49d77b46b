#include "image/web.h"

#include <assert.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "image/strings.h"

#define CONNECT_TIMEOUT_S 15L
#define STALL_TIMEOUT_S 60L // without a byte
#define REDIRECTS_MAX 5L
#define ERROR_BODY_MAX (16u << 10) // what is kept of a reply that refuses a blob
#define HEADERS_MAX (64u << 10)

struct Web {
    CURLM *multi;
    const WebAuthority *authorities;
    size_t n_authorities;
};

struct WebTransfer {
    Web *web;
    CURL *easy;
    struct curl_slist *headers;
    char *url;
    WebData on_data; // NULL: the body is kept
    void *user;
    Buf head, body; // `head`: header lines of the last response
    size_t max_body;
    bool done, too_large, is_head;
    CURLcode result;
    char error[CURL_ERROR_SIZE];
};

Web *web_new(const WebAuthority *authorities, size_t n) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
    Web *web = memory_new(Web);
    web->multi = curl_multi_init();
    assert(web->multi);
    web->authorities = authorities;
    web->n_authorities = n;
    return web;
}

void web_free(Web *web) {
    if (!web)
        return;
    curl_multi_cleanup(web->multi);
    curl_global_cleanup();
    free(web);
}

static size_t take_body(char *data, size_t size, size_t n, void *user) {
    WebTransfer *transfer = user;
    size_t len = size * n;
    long status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (transfer->on_data && status == 200)
        return transfer->on_data(transfer->user, data, len) ? len : CURL_WRITEFUNC_PAUSE;
    if (transfer->body.len + len > transfer->max_body) {
        if (transfer->on_data || status >= 400) { // enough of an error's text
            buf_append(&transfer->body, data, transfer->max_body - transfer->body.len);
            return len;
        }
        transfer->too_large = true;
        return 0;
    }
    buf_append(&transfer->body, data, len);
    return len;
}

static size_t take_header(char *data, size_t size, size_t n, void *user) {
    WebTransfer *transfer = user;
    size_t len = size * n;
    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) // a redirect's headers are past
        buf_clear(&transfer->head);
    if (transfer->head.len + len > HEADERS_MAX)
        return 0;
    buf_append(&transfer->head, data, len);
    return len;
}

// "https://HOST/path" -> "HOST"
static Str host_of(Str url) {
    ptrdiff_t colon = str_find(url, ':');
    if (colon < 0 || (size_t)colon + 3 > url.len)
        return STR_NONE;
    Str rest = str_slice(url, (size_t)colon + 3, url.len);
    return str_cut(&rest, '/');
}

static const char *authority_for(const Web *web, Str url) {
    const char *file = NULL;
    for (size_t i = 0; i < web->n_authorities; i++) {
        if (!web->authorities[i].host.ptr && !file)
            file = web->authorities[i].file;
        else if (str_eq_nocase(web->authorities[i].host, host_of(url)))
            return web->authorities[i].file;
    }
    return file;
}

static void set_options(WebTransfer *transfer, const WebRequest *request) {
    CURL *easy = transfer->easy;
    bool https = strncasecmp(request->url, "https:", 6) == 0;
    curl_easy_setopt(easy, CURLOPT_URL, transfer->url);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "seapod-image/" SEAPOD_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALL_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    // Redirects never lead from TLS to plain HTTP, and our headers, which hold the credentials,
    // stay with the first host and port (CURLOPT_UNRESTRICTED_AUTH is off).
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    curl_easy_setopt(easy, CURLOPT_UNRESTRICTED_AUTH, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    if (request->head)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (request->form)
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->form);
    const char *file = authority_for(transfer->web, str_from(request->url));
    if (file) // besides CURLOPT_CAPATH, the system's
        curl_easy_setopt(easy, CURLOPT_CAINFO, file);
}

WebTransfer *web_transfer_new(Web *web, const WebRequest *request, WebData on_data, void *user) {
    WebTransfer *transfer = memory_new(WebTransfer);
    transfer->web = web;
    transfer->easy = curl_easy_init();
    assert(transfer->easy);
    transfer->on_data = on_data;
    transfer->user = user;
    transfer->is_head = request->head;
    transfer->max_body = on_data ? ERROR_BODY_MAX : request->max_body;
    transfer->head = BUF_INIT(2 * HEADERS_MAX);
    transfer->body = BUF_INIT(transfer->max_body + 1);
    size_t size = strlen(request->url) + 1;
    transfer->url = memory_alloc(size);
    memcpy(transfer->url, request->url, size);
    for (size_t i = 0; request->headers && request->headers[i]; i++)
        transfer->headers = curl_slist_append(transfer->headers, request->headers[i]);
    set_options(transfer, request);
    if (curl_multi_add_handle(web->multi, transfer->easy) != CURLM_OK)
        abort();
    return transfer;
}

void web_transfer_free(WebTransfer *transfer) {
    if (!transfer)
        return;
    curl_multi_remove_handle(transfer->web->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    buf_deinit(&transfer->head);
    buf_deinit(&transfer->body);
    free(transfer->url);
    free(transfer);
}

void web_transfer_resume(WebTransfer *transfer) {
    if (!transfer->done)
        (void)curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
}

bool web_transfer_is_done(const WebTransfer *transfer) {
    return transfer->done;
}

static bool note_ends(Web *web) {
    bool any = false;
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(web->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        char *private = NULL;
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        WebTransfer *transfer = (WebTransfer *)private;
        transfer->done = any = true;
        transfer->result = result;
    }
    return any;
}

int web_step(Web *web, struct pollfd *fds, size_t n) {
    struct curl_waitfd extra[n + 1];
    int running;
    if (curl_multi_perform(web->multi, &running) != CURLM_OK)
        return -EIO;
    if (note_ends(web))
        return 0;
    for (size_t i = 0; i < n; i++)
        extra[i] = (struct curl_waitfd){
            .fd = fds[i].fd,
            .events = (short)((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
                              (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0))};
    if (curl_multi_poll(web->multi, extra, (unsigned)n, 1000, NULL) != CURLM_OK)
        return -EIO;
    return 0;
}

// As Go's net package would say it, which is what people search for.
static void word_failure(const WebTransfer *transfer, Failure *failure) {
    char *ip = NULL;
    long port = 0, os_errno = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_PRIMARY_IP, &ip);
    curl_easy_getinfo(transfer->easy, CURLINFO_PRIMARY_PORT, &port);
    curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &os_errno);
    const char *text = transfer->error[0] ? transfer->error : curl_easy_strerror(transfer->result);
    Str host = host_of(str_from(transfer->url));
    const char *method = transfer->is_head ? "Head" : "Get";
    int code = IMAGE_E_NETWORK;
    if (transfer->result == CURLE_COULDNT_RESOLVE_HOST) {
        ptrdiff_t colon = str_find_last(host, ':');
        if (colon > 0)
            host.len = (size_t)colon;
        failure_set(failure, code,
                    "failed to do request: %s \"%s\": dial tcp: lookup %.*s: no such host", method,
                    transfer->url, STR_ARG(host));
    } else if (transfer->result == CURLE_COULDNT_CONNECT && os_errno) {
        char reason[128];
        snprintf(reason, sizeof(reason), "%s", strerror((int)os_errno));
        reason[0] = (char)tolower((unsigned char)reason[0]);
        failure_set(failure, code, "failed to do request: %s \"%s\": dial tcp %.*s: connect: %s",
                    method, transfer->url, STR_ARG(host), reason);
    } else if (transfer->result == CURLE_OPERATION_TIMEDOUT) {
        failure_set(failure, code, "failed to do request: %s \"%s\": i/o timeout (%s)", method,
                    transfer->url, text);
    } else if (transfer->result == CURLE_PEER_FAILED_VERIFICATION) {
        failure_set(failure, code,
                    "failed to do request: %s \"%s\": tls: failed to verify certificate: %s",
                    method, transfer->url, text);
    } else {
        failure_set(failure, code, "failed to do request: %s \"%s\": %s", method, transfer->url,
                    text);
    }
    failure_clean(failure->message);
}

static void read_headers(const WebTransfer *transfer, Arena *arena, WebReply *reply) {
    Str rest = buf_view(&transfer->head);
    while (rest.ptr && rest.len > 0) {
        Str value = str_cut(&rest, '\n');
        Str name = str_cut(&value, ':');
        if (!value.ptr)
            continue;
        value = arena_str(arena, str_trim(value));
        if (str_eq_nocase(name, STR("content-type"))) {
            Str type = value;
            reply->content_type = str_trim(str_cut(&type, ';'));
        } else if (str_eq_nocase(name, STR("docker-content-digest"))) {
            reply->content_digest = value;
        } else if (str_eq_nocase(name, STR("www-authenticate"))) {
            image_strings_push(arena, &reply->challenges, value);
        }
    }
}

WebProblem web_transfer_end(WebTransfer *transfer, Arena *arena, WebReply *ret_reply,
                            Failure *failure) {
    assert(transfer->done);
    *ret_reply = (WebReply){0};
    if (transfer->too_large) {
        failure_set(failure, IMAGE_E_BAD_DATA, "reply of \"%s\" is larger than %zu bytes",
                    transfer->url, transfer->max_body);
        return WEB_TOO_LARGE;
    }
    if (transfer->result != CURLE_OK) {
        word_failure(transfer, failure);
        return transfer->result == CURLE_SSL_CONNECT_ERROR ? WEB_NOT_TLS : WEB_NETWORK;
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &ret_reply->status);
    ret_reply->body = arena_str(arena, buf_view(&transfer->body));
    read_headers(transfer, arena, ret_reply);
    return WEB_OK;
}

WebProblem web_fetch(Web *web, Arena *arena, const WebRequest *request, WebReply *ret_reply,
                     Failure *failure) {
    WebTransfer *transfer = web_transfer_new(web, request, NULL, NULL);
    WebProblem problem = WEB_OK;
    while (!problem && !transfer->done) {
        int error = web_step(web, NULL, 0);
        if (error) {
            failure_errno(failure, error, "libcurl");
            problem = WEB_NETWORK;
        }
    }
    if (!problem)
        problem = web_transfer_end(transfer, arena, ret_reply, failure);
    web_transfer_free(transfer);
    return problem;
}

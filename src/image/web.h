#pragma once
// HTTP by libcurl: short documents one at a time, blobs several at once.

#include <poll.h>

#include "base/buf.h"
#include "image/failure.h"
#include "image/store.h"

typedef struct Web Web;

// A certificate authority besides the system's.
typedef struct WebAuthority {
    Str host; // "registry.example:5000"; STR_NONE: any
    const char *file;
} WebAuthority;

Web *web_new(const WebAuthority *authorities, size_t n); // `authorities` stay the caller's
void web_free(Web *web);                                 // NULL is fine

typedef struct WebRequest {
    const char *url;
    const char *const *headers; // "Name: value"; NULL ends it; may be NULL. Sent to this host only
    const char *form;           // body of a POST; NULL for GET
    bool head;
    size_t max_body; // a longer reply is an error
} WebRequest;

typedef struct WebReply {
    long status;
    Str content_type, content_digest; // STR_NONE when absent
    ImageStrings challenges;          // values of WWW-Authenticate
    Str body;
} WebReply;

// The kind of failure, beyond IMAGE_E_NETWORK: is the other side perhaps speaking no TLS?
typedef enum WebProblem { WEB_OK, WEB_NETWORK, WEB_NOT_TLS, WEB_TOO_LARGE } WebProblem;

// Waits for the reply, whatever its status. On failure fills `failure` as Go's net/http words it.
WebProblem web_fetch(Web *web, Arena *arena, const WebRequest *request, WebReply *ret_reply,
                     Failure *failure) __attribute__((warn_unused_result));

// A blob on its way.
typedef struct WebTransfer WebTransfer;
// Takes all of the bytes or, when it returns false, none: they come again after
// web_transfer_resume.
typedef bool (*WebData)(void *user, const void *data, size_t len);

WebTransfer *web_transfer_new(Web *web, const WebRequest *request, WebData on_data, void *user);
void web_transfer_free(WebTransfer *transfer); // breaks it off; NULL is fine
void web_transfer_resume(WebTransfer *transfer);
bool web_transfer_is_done(const WebTransfer *transfer);
// After it is done. `*ret_reply` holds the body when the status was not 200 (then on_data never was
// called). Returns 0 or fills `failure`.
WebProblem web_transfer_end(WebTransfer *transfer, Arena *arena, WebReply *ret_reply,
                            Failure *failure) __attribute__((warn_unused_result));

// Moves all transfers on, then waits until one of them or of `fds` has something to do, or a second
// went by. Returns 0 or negative errno.
int web_step(Web *web, struct pollfd *fds, size_t n) __attribute__((warn_unused_result));

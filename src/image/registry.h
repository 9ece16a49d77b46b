#pragma once
// A registry's side of a pull (OCI distribution-spec; Docker's token authentication): where it is,
// who we are to it, its manifests and blobs.

#include "image/credentials.h"
#include "image/documents.h"
#include "image/reference.h"
#include "image/web.h"

// "docker.io=http://127.0.0.1:5000": tried before the registry itself, in this order.
typedef struct RegistryMirror {
    Str domain; // "*" stands for all
    Str url;    // "http://127.0.0.1:5000", perhaps with a path
} RegistryMirror;

typedef struct RegistryOptions {
    RegistryMirror *mirrors;
    size_t n_mirrors;
    Credentials credentials;
    WebAuthority *authorities;
    size_t n_authorities;
} RegistryOptions;

// "DOMAIN=URL". Returns 0 or fills `failure`.
int registry_parse_mirror(Arena *arena, Str text, RegistryMirror *ret_mirror, Failure *failure)
    __attribute__((warn_unused_result));

// Adds a file in the form of Docker's config.json: its credentials, and from our own key
// "certificateAuthorities": {"registry.example:5000": "/etc/ssl/registry.pem", "*": ...}.
// "/dev/fd/N" is a descriptor that was inherited. Returns 0 or fills `failure`, which never repeats
// the file's content.
int registry_read_config(Arena *arena, const char *path, RegistryOptions *options, Failure *failure)
    __attribute__((warn_unused_result));

typedef struct Registry Registry;

Registry *registry_new(Arena *arena, const RegistryOptions *options,
                       const ImageReference *reference);
void registry_free(Registry *registry); // NULL is fine
Web *registry_web(Registry *registry);

// Finds the reference's manifest or index at the mirrors and the registry; the first that has it
// answers all later questions. Its bytes are checked against the digest asked for. Returns 0 or
// fills `failure` with the answer that tells most.
int registry_resolve(Registry *registry, Str *ret_text, Str *ret_digest, Failure *failure)
    __attribute__((warn_unused_result));
// Only the digest that the reference stands for now, without its bytes; STR_NONE when the registry
// does not say, for whatever reason.
Str registry_look(Registry *registry);
// A manifest (`what` is "manifests") or small blob ("blobs") by digest, checked.
int registry_document(Registry *registry, const char *what, const Descriptor *descriptor,
                      Str *ret_text, Failure *failure) __attribute__((warn_unused_result));

// Starts the transfer of a blob with the authorization that worked so far; `*ret_token` is its
// number.
WebTransfer *registry_blob(Registry *registry, Str digest, WebData on_data, void *user,
                           unsigned *ret_token);
// After a transfer with that authorization whose status was 401: gets another, unless a transfer
// beside it did so already. Returns true when trying again may help.
bool registry_renew(Registry *registry, const WebReply *reply, unsigned token);
// Words a status that is not 200: not found, denied or unexpected, with the server's own message.
int registry_refusal(Registry *registry, const char *url, const WebReply *reply, Failure *failure);

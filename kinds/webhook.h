#pragma once
// The address of a webhook: https://HOST[:PORT][/PATH], as net/url takes it apart.

#include "schema/value.h"

typedef struct WebhookUrl {
    Str scheme, user, host; // an IPv6 address without its brackets
    Str port;               // STR_NONE: none
    Str path;               // from the slash on, "" without
    Str query, fragment;    // STR_NONE: none
} WebhookUrl;
// False when it is no URL at all.
bool webhook_url_parse(Str url, WebhookUrl *ret) __attribute__((warn_unused_result));

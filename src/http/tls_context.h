#pragma once
#include <openssl/ssl.h>

#include "http/tls.h"

// A new connection's, set to accept or connect. `http1`: does not offer HTTP/2.
SSL *tls_context_ssl(TlsContext *context, bool http1);

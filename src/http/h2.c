// HTTP/2 comes with the next change: until then TLS contexts do not offer it, and connections that
// start with its preface are closed.

#include <stdlib.h>

#include "http/connection.h"
#include "http/transport.h"

void http_h2_serve(HttpServer *server, Stream *stream, HttpPeer *peer, Str first) {
    stream_abort(stream);
    free(peer);
}

Transport *transport_h2_new(NetClient *client, Stream *stream, Str authority, bool tls) {
    stream_abort(stream);
    abort(); // not offered
}

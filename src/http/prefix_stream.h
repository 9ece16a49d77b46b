#pragma once
#include "base/stream.h"

// The stream `inner` with `prefix` (copied) in front of what it will deliver, for what was read too
// early. `ended`: its on_end was told already. Takes `inner`; it is not read until the new stream
// is started.
Stream *prefix_stream_new(Stream *inner, Str prefix, bool ended);

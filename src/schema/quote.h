#pragma once
// Go's %q, which Kubernetes' messages are full of.

#include "base/arena.h"
#include "base/buf.h"

void quote_write(Buf *buf, Str s);
Str quote_str(Arena *arena, Str s);

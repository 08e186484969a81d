/* The headers of msgpack-c that are compiled in, and the message if they are missing. */
#ifndef LIBRARY_H
#define LIBRARY_H

#if !__has_include(<msgpack/unpack_template.h>) || !__has_include(<msgpack/pack_template.h>)
#error "SWMsgPack needs the C library msgpack-c. On Debian: apt-get install libmsgpack-dev (12) or libmsgpack-c-dev (13)"
#endif

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "CMsgPack.h"

#endif

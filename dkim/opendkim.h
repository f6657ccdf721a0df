// The only way to libopendkim's header: its `struct dkim` would collide with our namespace, so it
// gets another name here, and strict C++ has no _Bool. Include it in a .cc file, before anything of
// ours is used from it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <ctime>

#define dkim opendkim_message
#define _Bool bool
extern "C" {
#include <opendkim/dkim.h>
}
#undef _Bool
#undef dkim

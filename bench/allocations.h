// How often this process has asked for memory so far: malloc, calloc, realloc and aligned requests
// of all threads and libraries, operator new among them. Linked into a program, it counts.
#pragma once

#include <cstdint>

namespace bench {

std::int64_t allocations();

}  // namespace bench

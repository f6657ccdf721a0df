// The C library's allocator under our own names: what the program defines goes before what
// libraries define, for the libraries too (operator new of libstdc++ calls malloc).
#include "allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

std::atomic<std::int64_t> count{0};
void note() { count.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

extern "C" {
void* malloc(std::size_t size) {
  note();
  return __libc_malloc(size);
}
void* calloc(std::size_t number, std::size_t size) {
  note();
  return __libc_calloc(number, size);
}
void* realloc(void* old, std::size_t size) {
  note();
  return __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  note();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** into, std::size_t alignment, std::size_t size) {
  note();
  *into = __libc_memalign(alignment, size);
  return *into == nullptr ? ENOMEM : 0;
}
}

namespace bench {

std::int64_t allocations() { return count.load(std::memory_order_relaxed); }

}  // namespace bench

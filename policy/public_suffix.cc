#include "policy/public_suffix.h"

#include <libpsl.h>

namespace policy {
namespace {

// Immutable once read, and needed until the process ends: never freed.
const psl_ctx_t* list() {
  static const psl_ctx_t* const loaded = psl_latest(nullptr);
  return loaded;
}

}  // namespace

std::string registrable_domain(const std::string& domain) {
  const psl_ctx_t* const suffixes = list();
  if (suffixes == nullptr) return domain;
  const char* const found = psl_registrable_domain(suffixes, domain.c_str());
  return found != nullptr ? std::string(found) : domain;
}

}  // namespace policy

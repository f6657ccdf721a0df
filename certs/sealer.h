// Secrets at rest: AES-256-GCM (NIST SP 800-38D) under `secrets/master.key`. For secrets that must
// be replayed (smarthost passwords, DKIM keys, webhook secrets). Thread-safe after open.
#pragma once

#include <string>
#include <string_view>

#include "core/base/result.h"

namespace certs {

class Sealer {
 public:
  // Reads DIR/master.key (32 bytes, base64, mode 0600) or makes it where DIR has none. Errors:
  // wrong mode or size, unreadable.
  static base::Result<Sealer> open(const std::string& directory);

  // `context` says what the secret is for ("smarthost/acme.example"); it is authenticated, so a
  // sealed value moved to another record does not open. Format: version 1 byte, nonce 12, text,
  // tag 16.
  [[nodiscard]] std::string seal(std::string_view secret, std::string_view context) const;
  [[nodiscard]] base::Result<std::string> unseal(std::string_view sealed,
                                                 std::string_view context) const;

  // A key for another purpose ("credential"), from the master key (HMAC-SHA-256 of the purpose's
  // name).
  [[nodiscard]] std::string derive(std::string_view purpose) const;

 private:
  explicit Sealer(std::string key) : key_(std::move(key)) {}
  std::string key_;
};

}  // namespace certs

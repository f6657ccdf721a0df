#include "policy/account_mint.h"

#include "certs/digest.h"
#include "core/base/bytes.h"
#include "core/base/id.h"

namespace policy {
namespace {

constexpr std::size_t kSecretOctets = 32;

// Lower case and without look-alikes: it is read out on telephones.
std::string short_name(std::size_t length) {
  constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
  static_assert(kAlphabet.size() == 32);
  std::string text = base::random_bytes(length);
  for (char& c : text) c = kAlphabet[static_cast<unsigned char>(c) % 32];
  return text;
}

}  // namespace

std::string credential_digest(std::string_view digest_key, std::string_view secret) {
  return base::hex_encode(certs::hmac_sha256(digest_key, secret));
}

std::string AccountMint::unused_username(const std::string& tenant, const std::string& domain) {
  for (;;) {
    // The form of an address, for servers that insist on one (product rule D2). It is no mailbox.
    std::string username =
        domain.empty() ? tenant + "-" + short_name(8) : "relay-" + short_name(8) + "@" + domain;
    if (domain.empty() && !options_.hostname.empty()) username += "@" + options_.hostname;
    if (accounts_.credential(username) == nullptr && issued_.insert(username).second) {
      return username;
    }
  }
}

AccountMint::Minted AccountMint::credential(const std::string& tenant, const std::string& domain) {
  Minted minted;
  minted.shown.id = "cr_" + short_name(16);
  minted.shown.username = unused_username(tenant, domain);
  minted.shown.password = "rd_" + base::base64url_encode(base::random_bytes(kSecretOctets));
  minted.kept.id = minted.shown.id;
  minted.kept.username = minted.shown.username;
  minted.kept.digest = credential_digest(options_.digest_key, minted.shown.password);
  minted.kept.tenant = tenant;
  minted.kept.domain = domain;
  minted.kept.created_ms = options_.clock->wall_ms();
  return minted;
}

AccountMint::Secret AccountMint::webhook_secret(const std::string& tenant) const {
  Secret secret;
  secret.shown = "whsec_" + base::base64_encode(base::random_bytes(kSecretOctets));
  secret.sealed = options_.sealer->seal(secret.shown, "webhook/" + tenant);
  return secret;
}

}  // namespace policy

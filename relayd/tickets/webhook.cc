#include "relayd/tickets/webhook.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <array>

#include "certs/digest.h"
#include "core/base/bytes.h"

namespace tickets {
namespace {

struct MacFree {
  void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};

}  // namespace

struct WebhookSigner::State {
  std::unique_ptr<EVP_MAC, MacFree> mac;
  std::vector<std::unique_ptr<EVP_MAC_CTX, MacFree>> contexts;
};

WebhookSigner::WebhookSigner() : state_(std::make_unique<State>()) {}
WebhookSigner::~WebhookSigner() = default;
WebhookSigner::WebhookSigner(WebhookSigner&&) noexcept = default;
WebhookSigner& WebhookSigner::operator=(WebhookSigner&&) noexcept = default;

base::Result<WebhookSigner> WebhookSigner::begin(const std::vector<std::string>& secrets,
                                                 std::string_view id, std::int64_t timestamp_s) {
  constexpr std::string_view kPrefix = "whsec_";
  WebhookSigner signer;
  signer.state_->mac.reset(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  if (!signer.state_->mac) return base::error("OpenSSL has no HMAC");
  for (const std::string& secret : secrets) {
    const auto key = secret.starts_with(kPrefix)
                         ? base::base64_decode(std::string_view(secret).substr(kPrefix.size()))
                         : std::nullopt;
    if (!key || key->empty()) {
      return base::error("the webhook secret is damaged: rotate it (backend rotate-secret)");
    }
    auto& context = signer.state_->contexts.emplace_back(EVP_MAC_CTX_new(signer.state_->mac.get()));
    std::string digest = "SHA256";
    const std::array<OSSL_PARAM, 2> parameters = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
        OSSL_PARAM_construct_end()};
    if (!context || EVP_MAC_init(context.get(), reinterpret_cast<const unsigned char*>(key->data()),
                                 key->size(), parameters.data()) != 1) {
      return base::error("OpenSSL cannot start HMAC-SHA-256");
    }
  }
  if (secrets.empty()) return base::error("the back end has no webhook secret: rotate it");
  signer.update(id);
  signer.update(".");
  signer.update(std::to_string(timestamp_s));
  signer.update(".");
  return signer;
}

void WebhookSigner::update(std::string_view body_piece) {
  for (const auto& context : state_->contexts) {
    EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(body_piece.data()),
                   body_piece.size());
  }
}

std::string WebhookSigner::finish() {
  std::string out;
  for (const auto& context : state_->contexts) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    std::size_t size = 0;
    EVP_MAC_final(context.get(), digest.data(), &size, digest.size());
    if (!out.empty()) out += ' ';
    out += "v1," + base::base64_encode({reinterpret_cast<const char*>(digest.data()), size});
  }
  return out;
}

std::string form_signature(std::string_view secret, std::string_view timestamp,
                           std::string_view token) {
  return base::hex_encode(certs::hmac_sha256(secret, std::string(timestamp) + std::string(token)));
}

}  // namespace tickets

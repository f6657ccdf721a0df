// Standard Webhooks (standardwebhooks.com, specification 1.0.0): HMAC-SHA-256 over
// "ID.TIMESTAMP.BODY", one signature for each live secret. The body passes through in pieces. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace tickets {

class WebhookSigner {
 public:
  // `secrets` as they were handed out: "whsec_" and base64. Errors: a secret that is not that.
  static base::Result<WebhookSigner> begin(const std::vector<std::string>& secrets,
                                           std::string_view id, std::int64_t timestamp_s);
  ~WebhookSigner();
  WebhookSigner(WebhookSigner&&) noexcept;
  WebhookSigner& operator=(WebhookSigner&&) noexcept;

  void update(std::string_view body_piece);
  // The value of `webhook-signature`: "v1,BASE64 v1,BASE64". Once.
  std::string finish();

 private:
  WebhookSigner();
  struct State;
  std::unique_ptr<State> state_;
};

// The form of a Mailgun route: hex HMAC-SHA-256 of timestamp and token under the secret as written.
std::string form_signature(std::string_view secret, std::string_view timestamp,
                           std::string_view token);

}  // namespace tickets

// The signature against computations of others: the specification's own example and openssl(1).
#include "relayd/tickets/webhook.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "core/base/bytes.h"

namespace tickets {
namespace {

std::string openssl_hmac(const std::string& key, const std::string& data) {
  const std::string path = testing::TempDir() + "webhook_test_data";
  std::ofstream(path, std::ios::binary) << data;
  const std::string command =
      "openssl dgst -sha256 -mac HMAC -macopt hexkey:" + base::hex_encode(key) + " -binary " +
      path + " | base64 -w0";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  std::string out(100, '\0');
  out.resize(std::fread(out.data(), 1, out.size(), pipe));
  ::pclose(pipe);
  std::remove(path.c_str());
  return out;
}

TEST(Webhook, AsInTheSpecification) {
  auto signer = WebhookSigner::begin({"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
                                     "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330);
  ASSERT_TRUE(signer.ok());
  signer->update(R"({"test": 2432232314})");
  EXPECT_EQ(signer->finish(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(Webhook, OneSignatureForEachSecretWhateverThePieces) {
  const std::string one(24, 'k'), two(64, '\x01');
  auto signer = WebhookSigner::begin(
      {"whsec_" + base::base64_encode(one), "whsec_" + base::base64_encode(two)}, "msg_1",
      1'700'000'000);
  ASSERT_TRUE(signer.ok());
  std::string body;
  for (int i = 0; i < 1000; ++i) {
    const std::string piece(static_cast<std::size_t>(i % 17), static_cast<char>('a' + i % 26));
    signer->update(piece);
    body += piece;
  }
  const std::string content = "msg_1.1700000000." + body;
  EXPECT_EQ(signer->finish(),
            "v1," + openssl_hmac(one, content) + " v1," + openssl_hmac(two, content));
}

TEST(Webhook, DamagedSecretsAreAnError) {
  for (const char* secret : {"", "whsec_", "whsec_!!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}) {
    EXPECT_FALSE(WebhookSigner::begin({secret}, "m", 1).ok()) << secret;
  }
  EXPECT_FALSE(WebhookSigner::begin({}, "m", 1).ok());
}

}  // namespace
}  // namespace tickets

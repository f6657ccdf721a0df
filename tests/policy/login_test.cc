#include "policy/login.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "core/base/bytes.h"
#include "policy/accounts_fixture.h"

namespace policy {
namespace {

using ::testing::HasSubstr;

constexpr const char* kHere = "192.0.2.1";

class LoginTest : public AccountsFixture {
 protected:
  LoginTest() {
    const auto applied = open().apply(acme());
    inbound_ = *applied->domains[0].credential;
    tenant_ = *applied->tenants[0].credential;
    auto service = LoginService::open(*store_, clock_, limits_);
    if (!service.ok()) throw std::runtime_error(service.message());
    service_ = service.take();
  }
  static std::string plain(const std::string& authzid, const std::string& user,
                           const std::string& password) {
    return authzid + '\0' + user + '\0' + password;
  }
  Login login(const std::string& user, const std::string& password, const char* ip = kHere) {
    return service_->login_plain(plain("", user, password), ip);
  }
  void fail(int times, const std::string& user, const char* ip = kHere) {
    for (int i = 0; i < times; ++i) {
      ASSERT_EQ(login(user, "wrong", ip).result, LoginResult::kRejected) << i;
    }
  }

  NewCredential inbound_, tenant_;
  std::unique_ptr<LoginService> service_;
};

TEST_F(LoginTest, RightSecretIsAccepted) {
  const Login in = login(inbound_.username, inbound_.password);
  EXPECT_EQ(in.result, LoginResult::kAccepted) << in.reason;
  EXPECT_EQ(in.credential_id, inbound_.id);
  EXPECT_EQ(in.username, inbound_.username);
  const Login out = login(tenant_.username, tenant_.password);
  EXPECT_EQ(out.result, LoginResult::kAccepted) << out.reason;
  EXPECT_EQ(out.credential_id, tenant_.id);
}

TEST_F(LoginTest, UserNamesAreNotCaseSensitive) {
  EXPECT_EQ(login(base::ascii_upper(inbound_.username), inbound_.password).result,
            LoginResult::kAccepted);
}

TEST_F(LoginTest, EverythingElseIsRejected) {
  limits_.login_backoff_after = 1000;
  const std::string& user = inbound_.username;
  const std::string& secret = inbound_.password;
  EXPECT_EQ(login(user, secret + "x").result, LoginResult::kRejected);
  EXPECT_EQ(login(user, secret.substr(1)).result, LoginResult::kRejected);
  EXPECT_EQ(login(user, base::ascii_upper(secret)).result, LoginResult::kRejected);
  EXPECT_EQ(login(user, "").result, LoginResult::kRejected);
  EXPECT_EQ(login(user, tenant_.password).result, LoginResult::kRejected);
  EXPECT_EQ(login("nobody@acme.example", secret).result, LoginResult::kRejected);
  EXPECT_EQ(login("", "").result, LoginResult::kRejected);
  EXPECT_EQ(login("nobody", "").result, LoginResult::kRejected);
  EXPECT_EQ(login(user.substr(0, user.find('@')), secret).result, LoginResult::kRejected)
      << "no realm is added";
  EXPECT_EQ(login(user + "@acme.example", secret).result, LoginResult::kRejected);
  EXPECT_EQ(login(" " + user, secret).result, LoginResult::kRejected) << "nothing is trimmed";
  for (const std::string& message :
       {std::string(), std::string("\0", 1), std::string("\0\0", 2), user + secret,
        std::string(1, '\0') + user, plain("", user, secret) + std::string(1, '\0'),
        plain("", user, secret + std::string(1, '\0') + "x"), std::string(100'000, 'a'),
        plain(std::string(5000, 'z'), user, secret), plain("", std::string(5000, 'z'), secret)}) {
    EXPECT_EQ(service_->login_plain(message, kHere).result, LoginResult::kRejected)
        << message.size();
  }
}

TEST_F(LoginTest, AuthzidMustBeTheAuthenticatedIdentity) {
  const std::string& user = inbound_.username;
  EXPECT_EQ(service_->login_plain(plain(user, user, inbound_.password), kHere).result,
            LoginResult::kAccepted);
  const Login other =
      service_->login_plain(plain(tenant_.username, user, inbound_.password), kHere);
  EXPECT_EQ(other.result, LoginResult::kRejected);
  EXPECT_THAT(other.reason, HasSubstr("authorization identity"));
  EXPECT_EQ(other.credential_id, "");
}

TEST_F(LoginTest, RevokedIsRejectedAtOnce) {
  ASSERT_TRUE(store_->revoke_credential("acme.example", inbound_.id).ok());
  EXPECT_EQ(login(inbound_.username, inbound_.password).result, LoginResult::kRejected);
}

TEST_F(LoginTest, WaitsGrowAndEndByThemselves) {
  fail(5, inbound_.username);
  const Login right = login(inbound_.username, inbound_.password);
  EXPECT_EQ(right.result, LoginResult::kTemporary) << "right or wrong";
  EXPECT_THAT(right.reason, HasSubstr("10 s"));
  EXPECT_EQ(right.credential_id, "");
  // Attempts during the wait do not lengthen it.
  clock_.advance_ms(9'000);
  EXPECT_EQ(login(inbound_.username, "wrong").result, LoginResult::kTemporary);
  clock_.advance_ms(1'001);
  EXPECT_EQ(login(inbound_.username, "wrong").result, LoginResult::kRejected);
  EXPECT_THAT(login(inbound_.username, "wrong").reason, HasSubstr("20 s"));
  clock_.advance_ms(20'001);
  EXPECT_EQ(login(inbound_.username, inbound_.password).result, LoginResult::kAccepted);
}

TEST_F(LoginTest, LongestWaitIsTheLimit) {
  for (int i = 0; i < 30; ++i) {
    login(inbound_.username, "wrong");
    clock_.advance_ms(limits_.login_backoff_longest + 1);
  }
  EXPECT_EQ(login(inbound_.username, inbound_.password).result, LoginResult::kAccepted);
}

TEST_F(LoginTest, UserIsHeldBackFromEverywhere) {
  fail(5, inbound_.username);
  EXPECT_EQ(login(inbound_.username, "wrong", "198.51.100.7").result, LoginResult::kTemporary);
}

TEST_F(LoginTest, AddressIsHeldBackForEveryUnknownUser) {
  for (int i = 0; i < 5; ++i) fail(1, "guess" + std::to_string(i));
  EXPECT_EQ(login("guess9", "wrong").result, LoginResult::kTemporary);
  EXPECT_EQ(service_->login_plain("rubbish", kHere).result, LoginResult::kTemporary);
  EXPECT_EQ(login("guess9", "wrong", "198.51.100.7").result, LoginResult::kRejected);
}

TEST_F(LoginTest, OneSubnetOfIpv6IsOneAddress) {
  for (int i = 0; i < 5; ++i) {
    fail(1, "guess" + std::to_string(i), ("2001:db8:0:1::" + std::to_string(i + 1)).c_str());
  }
  EXPECT_EQ(login("guess9", "x", "2001:db8:0:1:ffff::1").result, LoginResult::kTemporary);
  EXPECT_EQ(login("guess9", "x", "2001:db8:0:2::1").result, LoginResult::kRejected);
}

TEST_F(LoginTest, ProvenUserOfABusyAddressIsNotLockedOut) {
  ASSERT_EQ(login(inbound_.username, inbound_.password).result, LoginResult::kAccepted);
  for (int i = 0; i < 5; ++i) fail(1, "guess" + std::to_string(i));
  ASSERT_EQ(login("guess9", "wrong").result, LoginResult::kTemporary);
  EXPECT_EQ(login(inbound_.username, inbound_.password).result, LoginResult::kAccepted);
  // Nor by guesses at its name from elsewhere; but its own failures count.
  fail(5, inbound_.username, "198.51.100.7");
  EXPECT_EQ(login(inbound_.username, inbound_.password).result, LoginResult::kAccepted);
  fail(5, inbound_.username);
  EXPECT_EQ(login(inbound_.username, inbound_.password).result, LoginResult::kTemporary);
}

TEST_F(LoginTest, OneGoodAccountDoesNotCoverUpGuesses) {
  for (int i = 0; i < 4; ++i) fail(1, "guess" + std::to_string(i));
  ASSERT_EQ(login(inbound_.username, inbound_.password).result, LoginResult::kAccepted);
  fail(1, "guess4");
  EXPECT_EQ(login("guess5", "wrong").result, LoginResult::kTemporary);
}

TEST_F(LoginTest, ManyThreadsAtOnce) {
  limits_.login_backoff_after = 1'000'000;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const bool right = (i + t) % 2 == 0;
        const Login result = login(inbound_.username, right ? inbound_.password : "no");
        const auto want = right ? LoginResult::kAccepted : LoginResult::kRejected;
        if (result.result != want) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace policy

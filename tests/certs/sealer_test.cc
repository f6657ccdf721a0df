#include "certs/sealer.h"
#include "certs/digest.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>
#include <thread>

#include "core/base/bytes.h"
#include "support/test_pki.h"

namespace {

using certs::Sealer;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::string& path, const std::string& text, mode_t mode = 0600) {
  std::ofstream(path, std::ios::binary) << text;
  ASSERT_EQ(::chmod(path.c_str(), mode), 0);
}

TEST(Sealer, MakesAKeyOnceAndReadsItAgain) {
  const test::TempDir dir;
  const std::string folder = dir.file("secrets");
  auto first = Sealer::open(folder);
  ASSERT_TRUE(first) << first.message();
  const std::string sealed = first->seal("correct horse", "smarthost/acme.example");

  struct stat status {};
  ASSERT_EQ(::stat((folder + "/master.key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat(folder.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
  const auto key = base::base64_decode(base::trim(read_file(folder + "/master.key")));
  ASSERT_TRUE(key);
  EXPECT_EQ(key->size(), 32U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1) << "left-over files";

  auto second = Sealer::open(folder);
  ASSERT_TRUE(second) << second.message();
  auto opened = second->unseal(sealed, "smarthost/acme.example");
  ASSERT_TRUE(opened) << opened.message();
  EXPECT_EQ(*opened, "correct horse");
}

TEST(Sealer, TwoThatStartAtOnceShareOneKey) {
  for (int round = 0; round < 20; ++round) {
    const test::TempDir dir;
    std::vector<std::string> sealed(4);
    std::vector<std::thread> threads;
    for (auto& place : sealed) {
      threads.emplace_back([&] {
        auto sealer = Sealer::open(dir.path());
        if (sealer) place = sealer->seal("x", "c");
      });
    }
    for (auto& thread : threads) thread.join();
    auto sealer = Sealer::open(dir.path());
    ASSERT_TRUE(sealer);
    for (const auto& text : sealed) EXPECT_TRUE(sealer->unseal(text, "c").ok());
  }
}

TEST(Sealer, RefusesAKeyThatOthersCanRead) {
  const test::TempDir dir;
  write_file(dir.file("master.key"), base::base64_encode(std::string(32, 'k')) + "\n", 0640);
  auto sealer = Sealer::open(dir.path());
  ASSERT_FALSE(sealer);
  EXPECT_NE(sealer.message().find("0600"), std::string::npos) << sealer.message();
  ASSERT_EQ(::chmod(dir.file("master.key").c_str(), 0600), 0);
  EXPECT_TRUE(Sealer::open(dir.path()).ok());
}

TEST(Sealer, RefusesWhatIsNotAKeyAndLeavesItAlone) {
  for (const std::string& text :
       {std::string(), std::string("not base64!"), base::base64_encode(std::string(31, 'k')),
        base::base64_encode(std::string(33, 'k')), std::string(1000, 'A')}) {
    const test::TempDir dir;
    write_file(dir.file("master.key"), text);
    EXPECT_FALSE(Sealer::open(dir.path()).ok()) << text;
    EXPECT_EQ(read_file(dir.file("master.key")), text);
  }
  const test::TempDir dir;
  ASSERT_EQ(::mkdir(dir.file("master.key").c_str(), 0700), 0);
  EXPECT_FALSE(Sealer::open(dir.path()).ok());
  EXPECT_FALSE(Sealer::open(dir.file("no/such/folder")).ok());
}

TEST(Sealer, DoesNotFollowALink) {
  const test::TempDir dir;
  write_file(dir.file("elsewhere"), base::base64_encode(std::string(32, 'k')));
  std::filesystem::create_symlink(dir.file("elsewhere"), dir.file("master.key"));
  EXPECT_FALSE(Sealer::open(dir.path()).ok());
}

TEST(Sealer, RoundTripsAnyBytes) {
  const test::TempDir dir;
  auto sealer = Sealer::open(dir.path());
  ASSERT_TRUE(sealer);
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  for (const std::string& secret :
       {std::string(), std::string(1, '\0'), all, std::string(100'000, 'x')}) {
    for (const std::string& context : {std::string(), std::string("dkim/acme.example/s1")}) {
      const std::string sealed = sealer->seal(secret, context);
      EXPECT_EQ(sealed.size(), secret.size() + 29);
      auto opened = sealer->unseal(sealed, context);
      ASSERT_TRUE(opened) << opened.message();
      EXPECT_EQ(*opened, secret);
    }
  }
}

TEST(Sealer, NeverUsesANonceTwice) {
  const test::TempDir dir;
  auto sealer = Sealer::open(dir.path());
  ASSERT_TRUE(sealer);
  std::set<std::string> nonces;
  for (int i = 0; i < 1000; ++i) nonces.insert(sealer->seal("same", "same").substr(1, 12));
  EXPECT_EQ(nonces.size(), 1000U);
}

TEST(Sealer, RefusesEveryChangedBitAndEveryCut) {
  const test::TempDir dir;
  auto sealer = Sealer::open(dir.path());
  ASSERT_TRUE(sealer);
  const std::string sealed = sealer->seal("secret", "context");
  for (std::size_t i = 0; i < sealed.size() * 8; ++i) {
    std::string changed = sealed;
    changed[i / 8] = static_cast<char>(changed[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(sealer->unseal(changed, "context").ok()) << "bit " << i;
  }
  for (std::size_t n = 0; n < sealed.size(); ++n) {
    EXPECT_FALSE(sealer->unseal(sealed.substr(0, n), "context").ok()) << n;
  }
  EXPECT_FALSE(sealer->unseal(sealed + "x", "context").ok());
}

TEST(Sealer, BindsASecretToItsRecordAndItsKey) {
  const test::TempDir dir;
  const test::TempDir other_dir;
  auto sealer = Sealer::open(dir.path());
  auto other = Sealer::open(other_dir.path());
  ASSERT_TRUE(sealer && other);
  const std::string sealed = sealer->seal("secret", "smarthost/a.example");
  auto moved = sealer->unseal(sealed, "smarthost/b.example");
  ASSERT_FALSE(moved);
  EXPECT_NE(moved.message().find("smarthost/b.example"), std::string::npos);
  EXPECT_FALSE(other->unseal(sealed, "smarthost/a.example").ok());
}

// The context keeps what it made of the key it had last.
TEST(Digest, HmacDoesNotMindWhichKeyWasThereBefore) {
  const auto hmac = [](std::string_view key, std::string_view data) {
    return base::hex_encode(certs::hmac_sha256(key, data));
  };
  const std::string first(20, '\x0b');
  constexpr std::string_view kFirst =
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
  constexpr std::string_view kSecond =
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
  constexpr std::string_view kEmpty =
      "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(hmac(first, "Hi There"), kFirst);
    EXPECT_EQ(hmac(first, "Hi There"), kFirst);
    EXPECT_EQ(hmac("Jefe", "what do ya want for nothing?"), kSecond);
    EXPECT_EQ(hmac({}, {}), kEmpty);
    EXPECT_EQ(hmac({}, {}), kEmpty);
    EXPECT_EQ(hmac("Jefe", "what do ya want for nothing?"), kSecond);
  }
}

// RFC 4231 4.2 and 4.3; FIPS 180-2 B.1.
TEST(Digest, KnownAnswers) {
  EXPECT_EQ(base::hex_encode(certs::hmac_sha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(base::hex_encode(certs::hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(base::hex_encode(certs::sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(base::hex_encode(certs::sha256({})),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(base::hex_encode(certs::hmac_sha256({}, {})),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

}  // namespace

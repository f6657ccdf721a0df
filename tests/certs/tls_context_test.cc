#include "certs/tls_context.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <fstream>

#include "support/test_pki.h"

namespace {

using certs::make_client_context;
using certs::make_server_context;

bool says(const std::string& message, const std::string& words) {
  return message.find(words) != std::string::npos;
}

// Both ends in memory, no socket: what the contexts alone decide.
class TlsContextTest : public testing::Test {
 protected:
  struct Pair {
    SSL* client;
    SSL* server;
    Pair(SSL_CTX* c, SSL_CTX* s) : client(SSL_new(c)), server(SSL_new(s)) {
      BIO *one = nullptr, *two = nullptr;
      BIO_new_bio_pair(&one, 0, &two, 0);
      SSL_set_bio(client, one, one);
      SSL_set_bio(server, two, two);
      SSL_set_connect_state(client);
      SSL_set_accept_state(server);
    }
    ~Pair() {
      // A session that was not closed is not resumed later.
      SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
      SSL_set_shutdown(server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
      SSL_free(client);
      SSL_free(server);
    }
    bool shake() {
      for (int i = 0; i < 20; ++i) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
        char byte = 0;
        SSL_read(client, &byte, 1);  // takes the tickets
      }
      return SSL_is_init_finished(client) && SSL_is_init_finished(server);
    }
  };

  test::TestPki pki_;
};

TEST_F(TlsContextTest, ServerAndClientAgreeOnTls13) {
  const auto identity = pki_.issue("DNS:relay.example");
  auto server = make_server_context(identity.certificate, identity.key, "mx");
  ASSERT_TRUE(server) << server.message();
  auto client = make_client_context({pki_.ca()});
  ASSERT_TRUE(client) << client.message();
  Pair pair(client->get(), server->get());
  EXPECT_TRUE(pair.shake());
  EXPECT_STREQ(SSL_get_version(pair.client), "TLSv1.3");
  EXPECT_STREQ(SSL_get_cipher_name(pair.client), "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(SSL_get_num_tickets(pair.server), 1U);
  EXPECT_NE(SSL_get_options(pair.server) & SSL_OP_NO_RENEGOTIATION, 0U);
}

TEST_F(TlsContextTest, ChainOfTheFileIsSent) {
  const auto identity = pki_.issue("DNS:relay.example", {.by_intermediate = true});
  auto server = make_server_context(identity.certificate, identity.key, "mx");
  auto client = make_client_context({pki_.ca()});
  ASSERT_TRUE(server && client);
  Pair pair(client->get(), server->get());
  EXPECT_TRUE(pair.shake());
}

TEST_F(TlsContextTest, ATrustedIntermediateIsEnough) {
  const auto identity = pki_.issue("DNS:relay.example", {.by_intermediate = true});
  auto server = make_server_context(identity.certificate, identity.key, "mx");
  auto client = make_client_context({pki_.intermediate()});
  ASSERT_TRUE(server && client);
  Pair pair(client->get(), server->get());
  EXPECT_TRUE(pair.shake());
}

TEST_F(TlsContextTest, ClientRefusesAnUnknownAuthority) {
  const auto identity = pki_.issue("DNS:relay.example");
  auto server = make_server_context(identity.certificate, identity.key, "mx");
  auto client = make_client_context({});
  ASSERT_TRUE(server && client);
  Pair pair(client->get(), server->get());
  EXPECT_FALSE(pair.shake());
  EXPECT_NE(SSL_get_verify_result(pair.client), X509_V_OK);
}

TEST_F(TlsContextTest, ClientRefusesAnExpiredCertificateThatTheServerTakes) {
  const auto identity = pki_.issue("DNS:relay.example", {.from_s = -7200, .until_s = -3600});
  auto server = make_server_context(identity.certificate, identity.key, "mx");
  ASSERT_TRUE(server) << server.message();
  auto client = make_client_context({pki_.ca()});
  Pair pair(client->get(), server->get());
  EXPECT_FALSE(pair.shake());
  EXPECT_EQ(SSL_get_verify_result(pair.client), X509_V_ERR_CERT_HAS_EXPIRED);
}

TEST_F(TlsContextTest, OldVersionsAreRefusedAndTls12IsTaken) {
  const auto identity = pki_.issue("DNS:relay.example");
  auto server = make_server_context(identity.certificate, identity.key, "mx");
  ASSERT_TRUE(server);
  for (const auto& [version, good] : {std::pair{TLS1_1_VERSION, false}, {TLS1_2_VERSION, true}}) {
    auto client = make_client_context({pki_.ca()});
    SSL_CTX_set_security_level(client->get(), 0);
    SSL_CTX_set_min_proto_version(client->get(), version);
    SSL_CTX_set_max_proto_version(client->get(), version);
    Pair pair(client->get(), server->get());
    EXPECT_EQ(pair.shake(), good) << version;
  }
}

TEST_F(TlsContextTest, ATicketOfOneListenerIsNotGoodAtAnother) {
  const auto identity = pki_.issue("DNS:relay.example");
  auto mx = make_server_context(identity.certificate, identity.key, "mx");
  auto submission = make_server_context(identity.certificate, identity.key, "submission");
  auto client = make_client_context({pki_.ca()});
  ASSERT_TRUE(mx && submission && client);
  SSL_SESSION* session = nullptr;
  {
    Pair pair(client->get(), mx->get());
    ASSERT_TRUE(pair.shake());
    session = SSL_get1_session(pair.client);
    ASSERT_EQ(SSL_SESSION_is_resumable(session), 1);
  }
  // Even with the ticket keys of the one at the other the context of the session tells them apart.
  unsigned char keys[80];
  ASSERT_EQ(SSL_CTX_get_tlsext_ticket_keys(mx->get(), keys, sizeof keys), 1);
  ASSERT_EQ(SSL_CTX_set_tlsext_ticket_keys(submission->get(), keys, sizeof keys), 1);
  {
    Pair pair(client->get(), submission->get());
    SSL_set_session(pair.client, session);
    ASSERT_TRUE(pair.shake());
    EXPECT_EQ(SSL_session_reused(pair.client), 0);
  }
  {
    Pair pair(client->get(), mx->get());
    SSL_set_session(pair.client, session);
    ASSERT_TRUE(pair.shake());
    EXPECT_EQ(SSL_session_reused(pair.client), 1);
  }
  SSL_SESSION_free(session);
}

TEST_F(TlsContextTest, ErrorsNameTheFileAndTheCause) {
  const auto one = pki_.issue("DNS:one.example");
  const auto two = pki_.issue("DNS:two.example");
  const std::string garbage = pki_.dir().file("garbage.pem");
  std::ofstream(garbage) << "this is not PEM\n";
  const std::string empty = pki_.dir().file("empty.pem");
  std::ofstream{empty};
  const std::string missing = pki_.dir().file("missing.pem");
  const std::string locked = pki_.dir().file("locked.key");
  {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    BIO* out = BIO_new_file(locked.c_str(), "w");
    PEM_write_bio_PrivateKey(out, key, EVP_aes_256_cbc(), nullptr, 0, nullptr,
                             const_cast<char*>("pass"));
    BIO_free(out);
    EVP_PKEY_free(key);
  }
  struct Case {
    std::string certificate, key, file, words;
  };
  for (const auto& c : std::vector<Case>{
           {missing, one.key, missing, "No such file"},
           {one.certificate, missing, missing, "No such file"},
           {pki_.dir().path(), one.key, pki_.dir().path(), "Is a directory"},
           {empty, one.key, empty, "empty"},
           {garbage, one.key, garbage, "no usable PEM certificate"},
           {one.key, one.key, one.key, "no usable PEM certificate"},
           {one.certificate, garbage, garbage, "no PEM key"},
           {one.certificate, locked, locked, "without a pass phrase"},
           {one.certificate, two.key, two.key, "does not belong"},
       }) {
    auto context = make_server_context(c.certificate, c.key, "mx");
    ASSERT_FALSE(context) << c.file;
    EXPECT_TRUE(says(context.message(), c.file)) << context.message();
    EXPECT_TRUE(says(context.message(), c.words)) << context.message();
  }
  for (const auto& file : {missing, empty, garbage}) {
    auto context = make_client_context({pki_.ca(), file});
    ASSERT_FALSE(context);
    EXPECT_TRUE(says(context.message(), file)) << context.message();
  }
}

}  // namespace

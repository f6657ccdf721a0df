#include "policy/permission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/accounts_fixture.h"

namespace policy {
namespace {

using ::testing::HasSubstr;

class PermissionTest : public AccountsFixture {
 protected:
  PermissionTest() {
    Plan plan = acme();
    plan.tenants[0].domains.push_back(plan.tenants[0].domains[0]);
    plan.tenants[0].domains[1].name = "acme-shop.example";
    plan.tenants[0].domains[1].addresses = {{"shop@acme-shop.example", std::nullopt}};
    plan.tenants[0].domains.push_back({});
    plan.tenants[0].domains[2].name = "bare.example";  // no smarthost
    plan.tenants[0].domains[2].addresses = {{"info@bare.example", std::nullopt}};
    plan.tenants.push_back(other().tenants[0]);
    plan.tenants[1].domains[0].inbound = InboundMode::kStrict;
    const auto applied = open().apply(plan);
    if (!applied.ok()) throw std::runtime_error(applied.message());
    accounts_ = store_->snapshot();
    outward_.credential = accounts_->credential_by_id(applied->tenants[0].credential->id);
    inbound_.credential = accounts_->credential_by_id(applied->domains[0].credential->id);
  }

  static std::string text(const Refusal& refusal) { return refusal ? refusal->str() : ""; }
  std::string author(const std::string& header, std::string_view mail_from,
                     bool verification_required = false, const Peer* peer = nullptr) {
    const auto headers = mail::Headers::scan(header, 100);
    if (!headers.ok()) return headers.message();
    const auto result = check_author(*accounts_, peer == nullptr ? outward_ : *peer, mail_from,
                                     *headers, verification_required);
    if (const auto* refusal = std::get_if<smtp::Reply>(&result)) return refusal->str();
    const Sending& sending = std::get<Sending>(result);
    return sending.address->address + " via " + sending.route.key;
  }

  AccountsSnapshot accounts_;
  Peer nobody_, outward_, inbound_;
};

TEST_F(PermissionTest, SendersOfATenant) {
  EXPECT_EQ(text(check_sender(*accounts_, outward_, "support@acme.example")), "");
  EXPECT_EQ(text(check_sender(*accounts_, outward_, "Support@ACME.example")), "");
  EXPECT_EQ(text(check_sender(*accounts_, outward_, "")), "") << "the null sender of reports";
  EXPECT_THAT(text(check_sender(*accounts_, outward_, "ceo@acme.example")), HasSubstr("553 5.7.1"));
  EXPECT_THAT(text(check_sender(*accounts_, outward_, "help@other.example")),
              HasSubstr("553 5.7.1"));
  EXPECT_THAT(text(check_sender(*accounts_, outward_, "rubbish")), HasSubstr("553 5.1.7"));
}

TEST_F(PermissionTest, AnySenderMayWriteIn) {
  EXPECT_EQ(text(check_sender(*accounts_, nobody_, "anyone@anywhere.example")), "");
  EXPECT_EQ(text(check_sender(*accounts_, inbound_, "anyone@anywhere.example")), "");
}

TEST_F(PermissionTest, InboundCredentialDeliversOnlyToItsOwnDomain) {
  EXPECT_EQ(text(check_recipient(*accounts_, inbound_, "SUPPORT@acme.example")), "");
  EXPECT_THAT(text(check_recipient(*accounts_, inbound_, "none@acme.example")),
              HasSubstr("550 5.1.1"));
  // The same tenant's other domain is as foreign as any (rules D4 and D5).
  for (const char* foreign :
       {"shop@acme-shop.example", "help@other.example", "someone@gmail.example"}) {
    EXPECT_THAT(text(check_recipient(*accounts_, inbound_, foreign)), HasSubstr("550 5.7.1"));
  }
}

TEST_F(PermissionTest, NobodyReachesSupportAddressesOnly) {
  EXPECT_EQ(text(check_recipient(*accounts_, nobody_, "support@acme.example")), "");
  EXPECT_THAT(text(check_recipient(*accounts_, nobody_, "none@acme.example")),
              HasSubstr("550 5.1.1"));
  EXPECT_THAT(text(check_recipient(*accounts_, nobody_, "someone@gmail.example")),
              HasSubstr("550 5.7.1"));
  EXPECT_THAT(text(check_recipient(*accounts_, nobody_, "help@other.example")),
              HasSubstr("530 5.7.0"))
      << "strict";
  EXPECT_THAT(text(check_recipient(*accounts_, nobody_, "support@acme.example@gmail.example")),
              HasSubstr("553 5.1.3"));
  EXPECT_THAT(text(check_recipient(*accounts_, nobody_, "\"x@gmail.example\"@acme.example")),
              HasSubstr("550 5.1.1"));
  EXPECT_THAT(text(check_recipient(*accounts_, nobody_, "postmaster")), HasSubstr("550 5.1.1"));
}

TEST_F(PermissionTest, StrictOutboundOnlyDomainTakesForwardedMail) {
  Plan plan = other();
  plan.tenants[0].domains[0].mode = Mode::kOutboundOnly;
  ASSERT_TRUE(store_->apply(plan).ok());
  EXPECT_EQ(text(check_recipient(*store_->snapshot(), nobody_, "help@other.example")), "");
}

TEST_F(PermissionTest, TenantsWriteAnywhere) {
  EXPECT_EQ(text(check_recipient(*accounts_, outward_, "someone@gmail.example")), "");
  EXPECT_THAT(text(check_recipient(*accounts_, outward_, "rubbish")), HasSubstr("553 5.1.3"));
}

TEST_F(PermissionTest, AuthorsMustBeConnected) {
  EXPECT_EQ(author("From: Help <support@acme.example>\r\n", "support@acme.example"),
            "support@acme.example via acme.example");
  EXPECT_EQ(author("From: support@acme.example\r\nSender: x@gmail.example\r\n", ""),
            "support@acme.example via acme.example");
  EXPECT_EQ(author("From: support@acme.example, sales@acme.example\r\n", "sales@acme.example"),
            "support@acme.example via acme.example");
  EXPECT_THAT(author("From: ceo@acme.example\r\n", "support@acme.example"),
              HasSubstr("550 5.7.1 From: ceo@acme.example"));
  EXPECT_THAT(author("From: support@acme.example, x@gmail.example\r\n", "support@acme.example"),
              HasSubstr("550 5.7.1 From: x@gmail.example"));
  EXPECT_THAT(author("From: help@other.example\r\n", ""), HasSubstr("550 5.7.1"));
  EXPECT_THAT(author("From: \"support@acme.example\" <help@other.example>\r\n", ""),
              HasSubstr("550 5.7.1"));
}

TEST_F(PermissionTest, OneDomainOnly) {
  EXPECT_THAT(author("From: support@acme.example, shop@acme-shop.example\r\n", ""),
              HasSubstr("550 5.7.1 From names mailboxes of"));
  EXPECT_THAT(author("From: support@acme.example\r\n", "shop@acme-shop.example"),
              HasSubstr("550 5.7.1 The envelope's sender"));
}

TEST_F(PermissionTest, BrokenFromFields) {
  EXPECT_THAT(author("Subject: x\r\n", ""), HasSubstr("550 5.6.0"));
  EXPECT_THAT(author("From: support@acme.example\r\nfrom: x@gmail.example\r\n", ""),
              HasSubstr("550 5.6.0"));
  EXPECT_THAT(author("From: undisclosed:;\r\n", ""), HasSubstr("550 5.6.0"));
  EXPECT_THAT(author("From: <<>>\r\n", ""), HasSubstr("550 5.6.0"));
}

TEST_F(PermissionTest, OnlyTenantsSendOutward) {
  EXPECT_THAT(author("From: support@acme.example\r\n", "", false, &nobody_),
              HasSubstr("550 5.7.1"));
  EXPECT_THAT(author("From: support@acme.example\r\n", "", false, &inbound_),
              HasSubstr("550 5.7.1"));
}

TEST_F(PermissionTest, UnverifiedAddressesAreRefusedWhereVerificationIsRequired) {
  EXPECT_THAT(author("From: support@acme.example\r\n", "", true), HasSubstr("not verified yet"));
  ASSERT_TRUE(store_->set_verification("support@acme.example", Verification::kVerified).ok());
  const std::string id = outward_.credential->id;
  accounts_ = store_->snapshot();
  outward_.credential = accounts_->credential_by_id(id);
  EXPECT_EQ(author("From: support@acme.example\r\n", "", true),
            "support@acme.example via acme.example");
}

TEST_F(PermissionTest, NoSmarthostIsSaid) {
  EXPECT_THAT(author("From: info@bare.example\r\n", ""), HasSubstr("smarthost add bare.example"));
}

}  // namespace
}  // namespace policy

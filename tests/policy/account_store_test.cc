#include "policy/account_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>

#include <fstream>
#include <iterator>
#include <set>

#include "policy/accounts_fixture.h"

namespace policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class AccountStoreTest : public AccountsFixture {
 protected:
  std::string refusal(AccountStore& store, const Plan& plan) {
    const AccountsSnapshot before = store.snapshot();
    const auto applied = store.apply(plan);
    EXPECT_EQ(store.snapshot(), before) << "a refused plan must change nothing";
    return applied.ok() ? "" : applied.message();
  }
};

TEST_F(AccountStoreTest, ApplyMakesAllAndShowsSecretsOnce) {
  AccountStore& store = open();
  const auto first = store.apply(acme());
  ASSERT_TRUE(first.ok()) << first.message();
  ASSERT_EQ(first->tenants.size(), 1U);
  EXPECT_THAT(first->tenants[0].webhook_secret, StartsWith("whsec_"));
  ASSERT_TRUE(first->tenants[0].credential.has_value());
  EXPECT_THAT(first->tenants[0].credential->username, StartsWith("acme-"));
  ASSERT_TRUE(first->domains[0].credential.has_value());
  const NewCredential& inbound = *first->domains[0].credential;
  EXPECT_THAT(inbound.username, ::testing::MatchesRegex("relay-[0-9a-z]{8}@acme.example"));
  EXPECT_EQ(inbound.password.size(), 3 + 43U);  // 256 bits in base64url

  const AccountsSnapshot accounts = store.snapshot();
  const Credential* kept = accounts->credential(inbound.username);
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->digest, store.digest(inbound.password));
  EXPECT_EQ(kept->domain, "acme.example");
  EXPECT_EQ(accounts->credential_by_id(inbound.id), kept);
  ASSERT_NE(accounts->address("sales@acme.example"), nullptr);

  const auto second = store.apply(acme());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->tenants[0].webhook_secret, "");
  EXPECT_FALSE(second->tenants[0].credential.has_value());
  EXPECT_FALSE(second->domains[0].credential.has_value());
  EXPECT_EQ(store.snapshot(), accounts) << "the same plan again must change nothing";
}

TEST_F(AccountStoreTest, SurvivesReopening) {
  const auto applied = open().apply(acme());
  ASSERT_TRUE(applied.ok());
  const auto key = store_->add_dkim_key("acme.example", "S1", dkim::Algorithm::kEd25519Sha256);
  ASSERT_TRUE(key.ok()) << key.message();
  ASSERT_TRUE(store_->activate_dkim_key("acme.example", "s1").ok());
  const auto sealed = store_->snapshot()->domain("acme.example")->smarthost;

  const AccountsSnapshot again = open().snapshot();
  const Domain* domain = again->domain("acme.example");
  ASSERT_NE(domain, nullptr);
  EXPECT_EQ(domain->smarthost, sealed);
  EXPECT_EQ(again->tenant("acme")->backend.url, "http://127.0.0.1:9000/tickets");
  EXPECT_NE(again->credential(applied->domains[0].credential->username), nullptr);
  const auto password = store_->smarthost_password("acme.example", *domain->smarthost);
  ASSERT_TRUE(password.ok());
  EXPECT_EQ(*password, "s3cret");
  const auto webhook = store_->webhook_secrets(*again->tenant("acme"));
  ASSERT_TRUE(webhook.ok());
  EXPECT_THAT(*webhook, ElementsAre(applied->tenants[0].webhook_secret));
  const DkimKey& kept = domain->dkim_keys.at("s1");
  EXPECT_TRUE(kept.active);
  const auto record = AccountStore::dns_record("acme.example", kept);
  EXPECT_EQ(record.name, "s1._domainkey.acme.example");
  EXPECT_EQ(record.type, "TXT");
  EXPECT_EQ(record.value, key->value);
}

TEST_F(AccountStoreTest, NoSecretIsOnDiskInClear) {
  Plan plan = acme();
  plan.tenants[0].backend_url = "http://user:pass4url@127.0.0.1:9000/";
  const auto applied = open().apply(plan);
  ASSERT_TRUE(applied.ok());
  store_.reset();
  std::ifstream file(directory_ + "/accounts/data.mdb", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  ASSERT_THAT(bytes, HasSubstr("mail.acme.example"));
  for (const std::string& secret :
       {std::string("s3cret"), std::string("pass4url"), applied->tenants[0].webhook_secret,
        applied->tenants[0].credential->password, applied->domains[0].credential->password}) {
    EXPECT_THAT(bytes, ::testing::Not(HasSubstr(secret)));
  }
}

TEST_F(AccountStoreTest, OtherKeyIsRefused) {
  open();
  store_.reset();
  const auto other = try_open("another key");
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(other.message(), HasSubstr("master.key"));
}

TEST_F(AccountStoreTest, NewerSchemaIsRefused) {
  open();
  store_.reset();
  MDB_env* env = nullptr;
  mdb_env_create(&env);
  ASSERT_EQ(mdb_env_open(env, (directory_ + "/accounts").c_str(), 0, 0600), 0);
  MDB_txn* txn = nullptr;
  MDB_dbi dbi = 0;
  ASSERT_EQ(mdb_txn_begin(env, nullptr, 0, &txn), 0);
  ASSERT_EQ(mdb_dbi_open(txn, nullptr, 0, &dbi), 0);
  std::string key = "schema";
  std::string value = "2";
  MDB_val k{key.size(), key.data()};
  MDB_val v{value.size(), value.data()};
  ASSERT_EQ(mdb_put(txn, dbi, &k, &v, 0), 0);
  ASSERT_EQ(mdb_txn_commit(txn), 0);
  mdb_env_close(env);
  const auto store = try_open();
  ASSERT_FALSE(store.ok());
  EXPECT_THAT(store.message(), HasSubstr("schema 2"));
}

TEST_F(AccountStoreTest, RefusalsNameTheEntryAndChangeNothing) {
  AccountStore& store = open();
  ASSERT_TRUE(store.apply(acme()).ok());
  ASSERT_TRUE(store.apply(other()).ok());

  Plan stolen = other();
  stolen.tenants[0].domains[0].name = "ACME.example";
  stolen.tenants[0].domains[0].addresses.clear();
  EXPECT_THAT(refusal(store, stolen),
              StartsWith("tenant other, domain ACME.example: belongs to tenant acme"));

  Plan foreign = other();
  foreign.tenants[0].domains[0].addresses = {{"support@acme.example", std::nullopt}};
  EXPECT_EQ(
      refusal(store, foreign),
      "tenant other, domain other.example, address support@acme.example: belongs to tenant acme");

  Plan outside = acme();
  outside.tenants[0].domains[0].addresses.push_back({"x@sub.acme.example", std::nullopt});
  EXPECT_THAT(refusal(store, outside), HasSubstr("address x@sub.acme.example: is not in domain"));

  Plan no_address = acme();
  no_address.tenants[0].domains[0].addresses.push_back({"not an address", std::nullopt});
  EXPECT_THAT(refusal(store, no_address), HasSubstr("address not an address: "));

  // The first tenant of the plan is right, the second is not: neither is made.
  Plan half = acme();
  half.tenants[0].name = "third";
  half.tenants[0].domains.clear();
  half.tenants.push_back(half.tenants[0]);
  half.tenants[1].name = "fourth";
  half.tenants[1].backend_url = "ftp://example/";
  EXPECT_THAT(refusal(store, half), StartsWith("tenant fourth: backend.url: "));
  EXPECT_EQ(store.snapshot()->tenant("third"), nullptr);

  for (const char* name : {"", "Acme", "a/b", "-a", "a b", "a\n"}) {
    Plan bad = acme();
    bad.tenants[0].name = name;
    EXPECT_THAT(refusal(store, bad), HasSubstr("a tenant's name has")) << name;
  }
  Plan no_url = acme();
  no_url.tenants[0].name = "fresh";
  no_url.tenants[0].backend_url = "";
  EXPECT_EQ(refusal(store, no_url), "tenant fresh: a new tenant needs backend.url");

  Plan port = acme();
  port.tenants[0].domains[0].smarthost->port = 70000;
  EXPECT_THAT(refusal(store, port), HasSubstr("smarthost: port is between"));
  Plan no_password = other();
  no_password.tenants[0].domains[0].smarthost->username = "somebody else";
  no_password.tenants[0].domains[0].smarthost->password.reset();
  EXPECT_THAT(refusal(store, no_password), HasSubstr("a user name needs a password"));
}

TEST_F(AccountStoreTest, TwoTenantsOfOnePlanCannotShareADomain) {
  Plan plan = acme();
  plan.tenants.push_back(plan.tenants[0]);
  plan.tenants[1].name = "twin";
  EXPECT_THAT(refusal(open(), plan),
              StartsWith("tenant twin, domain acme.example: belongs to tenant acme"));
}

TEST_F(AccountStoreTest, LimitsAreRefusedByName) {
  AccountStore& store = open();
  Plan domains = acme();
  for (int i = 0; i < 4; ++i) {
    DomainPlan domain;
    domain.name = "d" + std::to_string(i) + ".example";
    domains.tenants[0].domains.push_back(domain);
  }
  EXPECT_EQ(refusal(store, domains),
            "tenant acme: would have 5 domains, at most 4 are allowed (limits.domains_per_tenant)");
  domains.tenants[0].domains.pop_back();
  EXPECT_TRUE(store.apply(domains).ok());

  Plan addresses = acme();
  for (int i = 0; i < 49; ++i) {
    addresses.tenants[0].domains[0].addresses.push_back(
        {"a" + std::to_string(i) + "@acme.example", std::nullopt});
  }
  EXPECT_THAT(refusal(store, addresses), HasSubstr("(limits.addresses_per_domain)"));
  addresses.tenants[0].domains[0].addresses.pop_back();
  EXPECT_TRUE(store.apply(addresses).ok());

  limits_.tenants = 1;
  EXPECT_THAT(refusal(store, other()), HasSubstr("(limits.tenants)"));
}

TEST_F(AccountStoreTest, InternationalNamesAreNormalized) {
  Plan plan = acme();
  plan.tenants[0].domains[0].name =
      "B\xC3\xBC"
      "cher.example";
  plan.tenants[0].domains[0].addresses = {
      {"Hilfe@b\xC3\xBC"
       "cher.example",
       std::nullopt}};
  const auto applied = open().apply(plan);
  ASSERT_TRUE(applied.ok()) << applied.message();
  EXPECT_EQ(applied->domains[0].name, "xn--bcher-kva.example");
  EXPECT_NE(store_->snapshot()->address("hilfe@xn--bcher-kva.example"), nullptr);
  EXPECT_TRUE(store_
                  ->remove_domain("b\xC3\xBC"
                                  "cher.example")
                  .ok());
}

TEST_F(AccountStoreTest, WhatAPlanDoesNotNameStays) {
  AccountStore& store = open();
  Plan plan = acme();
  plan.tenants[0].domains[0].inbound = InboundMode::kStrict;
  ASSERT_TRUE(store.apply(plan).ok());
  Plan small;
  small.tenants.push_back({"acme", "", TicketFormat::kRfc822, {}});
  small.tenants[0].domains.push_back({});
  small.tenants[0].domains[0].name = "acme.example";
  small.tenants[0].domains[0].addresses = {{"new@acme.example", std::nullopt}};
  ASSERT_TRUE(store.apply(small).ok());
  const AccountsSnapshot accounts = store.snapshot();
  EXPECT_EQ(accounts->tenant("acme")->backend.format, TicketFormat::kRfc822);
  EXPECT_EQ(accounts->tenant("acme")->backend.url, "http://127.0.0.1:9000/tickets");
  const Domain* domain = accounts->domain("acme.example");
  EXPECT_EQ(domain->inbound, InboundMode::kStrict);
  EXPECT_EQ(domain->addresses.size(), 3U);
  EXPECT_TRUE(domain->smarthost.has_value());

  // The smarthost's password may be left out for the same user, and is kept.
  plan.tenants[0].domains[0].smarthost->password.reset();
  plan.tenants[0].domains[0].smarthost->port = 465;
  ASSERT_TRUE(store.apply(plan).ok());
  const Smarthost changed = *store.snapshot()->domain("acme.example")->smarthost;
  EXPECT_EQ(changed.port, 465U);
  EXPECT_EQ(*store.smarthost_password("acme.example", changed), "s3cret");
}

TEST_F(AccountStoreTest, RotationKeepsTwoAndRefusesAThird) {
  AccountStore& store = open();
  const auto applied = store.apply(acme());
  const NewCredential old = *applied->domains[0].credential;
  const auto fresh = store.rotate_credential("ACME.example");
  ASSERT_TRUE(fresh.ok()) << fresh.message();
  EXPECT_NE(fresh->username, old.username);
  EXPECT_NE(store.snapshot()->credential(old.username), nullptr);

  const auto third = store.rotate_credential("acme.example");
  ASSERT_FALSE(third.ok());
  EXPECT_THAT(third.message(), HasSubstr("relayctl credential revoke acme.example " + old.id));

  EXPECT_FALSE(store.revoke_credential("other.example", old.id).ok());
  EXPECT_FALSE(store.revoke_credential("acme", old.id).ok()) << "it is the domain's";
  ASSERT_TRUE(store.revoke_credential("acme.example", old.id).ok());
  EXPECT_EQ(store.snapshot()->credential(old.username), nullptr);
  EXPECT_NE(store.snapshot()->credential(fresh->username), nullptr);
  EXPECT_FALSE(store.revoke_credential("acme.example", old.id).ok());
  EXPECT_TRUE(store.rotate_credential("acme.example").ok());
}

TEST_F(AccountStoreTest, TenantCredentialsAreLimited) {
  limits_.credentials_per_tenant = 2;
  AccountStore& store = open();
  const auto applied = store.apply(acme());
  ASSERT_TRUE(store.add_tenant_credential("acme").ok());
  const auto third = store.add_tenant_credential("acme");
  ASSERT_FALSE(third.ok());
  EXPECT_THAT(third.message(), HasSubstr("limits.credentials_per_tenant"));
  EXPECT_TRUE(store.revoke_credential("acme", applied->tenants[0].credential->id).ok());
  EXPECT_FALSE(store.add_tenant_credential("nobody").ok());
}

TEST_F(AccountStoreTest, RemovalsSayWhatIsGone) {
  AccountStore& store = open();
  Plan plan = acme();
  plan.tenants[0].domains[0].addresses[1].smarthost = plan.tenants[0].domains[0].smarthost;
  const auto applied = store.apply(plan);
  ASSERT_TRUE(applied.ok());
  const auto route = store.snapshot()->route(*store.snapshot()->address("sales@acme.example"));
  EXPECT_EQ(route->key, "sales@acme.example");

  const auto smarthost = store.remove_smarthost("sales@acme.example");
  ASSERT_TRUE(smarthost.ok());
  EXPECT_THAT(smarthost->smarthosts, ElementsAre("sales@acme.example"));
  EXPECT_EQ(store.snapshot()->route(*store.snapshot()->address("sales@acme.example"))->key,
            "acme.example");
  EXPECT_FALSE(store.remove_smarthost("sales@acme.example").ok());
  EXPECT_FALSE(store.remove_smarthost("nobody@acme.example").ok());

  const auto address = store.remove_address("Sales@Acme.Example");
  ASSERT_TRUE(address.ok()) << address.message();
  EXPECT_THAT(address->addresses, ElementsAre("sales@acme.example"));
  EXPECT_EQ(store.snapshot()->address("sales@acme.example"), nullptr);

  const auto domain = store.remove_domain("acme.example");
  ASSERT_TRUE(domain.ok());
  EXPECT_THAT(domain->domains, ElementsAre("acme.example"));
  EXPECT_THAT(domain->addresses, ElementsAre("support@acme.example"));
  EXPECT_THAT(domain->smarthosts, ElementsAre("acme.example"));
  EXPECT_THAT(domain->credentials, ElementsAre(applied->domains[0].credential->id));
  EXPECT_EQ(store.snapshot()->credential(applied->domains[0].credential->username), nullptr);

  const auto tenant = store.remove_tenant("acme");
  ASSERT_TRUE(tenant.ok());
  EXPECT_THAT(tenant->credentials, ElementsAre(applied->tenants[0].credential->id));
  EXPECT_FALSE(store.remove_tenant("acme").ok());
  EXPECT_THAT(open().snapshot()->tenants(), IsEmpty());
}

TEST_F(AccountStoreTest, WebhookSecretsRotateTwoLive) {
  AccountStore& store = open();
  const std::string first = store.apply(acme())->tenants[0].webhook_secret;
  const auto second = store.rotate_webhook_secret("acme");
  ASSERT_TRUE(second.ok());
  EXPECT_THAT(*store.webhook_secrets(*store.snapshot()->tenant("acme")),
              ElementsAre(*second, first));
  const auto third = store.rotate_webhook_secret("acme");
  EXPECT_THAT(*store.webhook_secrets(*store.snapshot()->tenant("acme")),
              ElementsAre(*third, *second));
  EXPECT_EQ(*store.end_old_webhook_secrets("acme"), 1U);
  EXPECT_THAT(*store.webhook_secrets(*store.snapshot()->tenant("acme")), ElementsAre(*third));
  EXPECT_EQ(*store.end_old_webhook_secrets("acme"), 0U) << "one always stays";
  EXPECT_FALSE(store.end_old_webhook_secrets("nobody").ok());
}

TEST_F(AccountStoreTest, PartnersOfTenantsAndDomains) {
  limits_.partners = 3;
  AccountStore& store = open();
  Plan plan = acme();
  plan.tenants[0].partners = {{"Partner.Example", "Help@Desk.Example", "partner.example"}};
  ASSERT_TRUE(store.apply(plan).ok());
  EXPECT_THAT(store.snapshot()->tenant("acme")->partners,
              ElementsAre("help@desk.example", "partner.example"));
  EXPECT_TRUE(*store.add_partner("acme.example", "x@y.example"));
  EXPECT_FALSE(*store.add_partner("acme.example", "X@Y.example"));
  EXPECT_TRUE(*store.add_partner("acme", "third.example"));
  EXPECT_FALSE(store.add_partner("acme", "fourth.example").ok());
  EXPECT_FALSE(store.add_partner("acme", "no address").ok());
  EXPECT_FALSE(store.add_partner("nobody", "third.example").ok());
  EXPECT_TRUE(*store.remove_partner("acme", "third.example"));
  EXPECT_FALSE(*store.remove_partner("acme", "third.example"));
  plan.tenants[0].partners.reset();
  ASSERT_TRUE(store.apply(plan).ok());
  const AccountsSnapshot after = open().snapshot();  // from disk
  EXPECT_EQ(after->tenant("acme")->partners.size(), 2U) << "what a plan does not name stays";
  EXPECT_THAT(after->domain("acme.example")->partners, ElementsAre("x@y.example"));
  plan.tenants[0].partners = {{"nonsense@"}};
  EXPECT_THAT(open().apply(plan).message(), HasSubstr("tenant acme: partners: nonsense@"));
}

TEST_F(AccountStoreTest, DkimKeysOneActivePerAlgorithm) {
  AccountStore& store = open();
  ASSERT_TRUE(store.apply(acme()).ok());
  using enum dkim::Algorithm;
  ASSERT_TRUE(store.add_dkim_key("acme.example", "e1", kEd25519Sha256).ok());
  ASSERT_TRUE(store.add_dkim_key("acme.example", "e2", kEd25519Sha256).ok());
  ASSERT_TRUE(store.add_dkim_key("acme.example", "r1", kRsaSha256).ok());
  EXPECT_FALSE(store.add_dkim_key("acme.example", "e1", kEd25519Sha256).ok());
  EXPECT_FALSE(store.add_dkim_key("acme.example", "bad selector", kEd25519Sha256).ok());
  EXPECT_FALSE(store.add_dkim_key("other.example", "e1", kEd25519Sha256).ok());
  const auto active = [&] {
    std::set<std::string> names;
    const AccountsSnapshot accounts = store.snapshot();
    for (const auto& [selector, key] : accounts->domain("acme.example")->dkim_keys) {
      if (key.active) names.insert(selector);
    }
    return names;
  };
  EXPECT_THAT(active(), IsEmpty());
  ASSERT_TRUE(store.activate_dkim_key("acme.example", "e1").ok());
  ASSERT_TRUE(store.activate_dkim_key("acme.example", "r1").ok());
  EXPECT_THAT(active(), ElementsAre("e1", "r1"));
  const auto parsed_before = store.snapshot()->domain("acme.example")->dkim_keys.at("r1").key;
  ASSERT_TRUE(store.activate_dkim_key("acme.example", "e2").ok());
  EXPECT_THAT(active(), ElementsAre("e2", "r1"));
  EXPECT_EQ(store.snapshot()->domain("acme.example")->dkim_keys.at("r1").key, parsed_before)
      << "a change elsewhere must not parse the key again";
  EXPECT_FALSE(store.activate_dkim_key("acme.example", "e9").ok());
  ASSERT_TRUE(store.remove_dkim_key("acme.example", "e2").ok());
  EXPECT_FALSE(store.remove_dkim_key("acme.example", "e2").ok());
}

TEST_F(AccountStoreTest, TellsOfChangesOnly) {
  AccountStore& store = open();
  int changes = 0;
  store.on_change([&](const AccountsSnapshot& next) {
    ++changes;
    EXPECT_EQ(store.snapshot(), next);  // no lock is held
  });
  ASSERT_TRUE(store.apply(acme()).ok());
  EXPECT_EQ(changes, 1);
  ASSERT_TRUE(store.apply(acme()).ok());
  EXPECT_FALSE(store.remove_tenant("nobody").ok());
  EXPECT_EQ(changes, 1);
  ASSERT_TRUE(store.set_verification("support@acme.example", Verification::kVerified).ok());
  EXPECT_EQ(changes, 2);
}

TEST_F(AccountStoreTest, SealedSecretMovedToAnotherRecordDoesNotOpen) {
  AccountStore& store = open();
  ASSERT_TRUE(store.apply(acme()).ok());
  const Smarthost smarthost = *store.snapshot()->domain("acme.example")->smarthost;
  const auto moved = store.smarthost_password("other.example", smarthost);
  ASSERT_FALSE(moved.ok());
  EXPECT_THAT(moved.message(), HasSubstr("other.example"));
}

}  // namespace
}  // namespace policy

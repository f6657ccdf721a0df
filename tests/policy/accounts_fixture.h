// A real account store in a directory of its own, for tests.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "certs/sealer.h"
#include "core/base/clock.h"
#include "core/base/limits.h"
#include "policy/account_store.h"

namespace policy {

class AccountsFixture : public ::testing::Test {
 protected:
  AccountsFixture() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "relayd-accounts-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    std::filesystem::create_directory(directory_ + "/secrets");
    auto sealer = certs::Sealer::open(directory_ + "/secrets");
    if (!sealer.ok()) throw std::runtime_error(sealer.message());
    sealer_ = std::make_unique<certs::Sealer>(sealer.take());
  }
  ~AccountsFixture() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  base::Result<std::unique_ptr<AccountStore>> try_open(const std::string& digest_key = "key") {
    AccountStoreOptions options;
    options.directory = directory_ + "/accounts";
    options.sealer = sealer_.get();
    options.limits = &limits_;
    options.clock = &clock_;
    options.digest_key = digest_key;
    options.hostname = "relay.test";
    return AccountStore::open(options);
  }
  AccountStore& open() {
    store_.reset();  // LMDB bears one environment of a directory in a process
    auto store = try_open();
    if (!store.ok()) throw std::runtime_error(store.message());
    store_ = store.take();
    return *store_;
  }

  // acme with acme.example (support@, sales@) and a smarthost; what apply() must take.
  static Plan acme() {
    SmarthostPlan smarthost;
    smarthost.host = "mail.acme.example";
    smarthost.username = "relayd";
    smarthost.password = "s3cret";
    DomainPlan domain;
    domain.name = "acme.example";
    domain.smarthost = smarthost;
    domain.addresses = {{"support@acme.example", std::nullopt},
                        {"sales@acme.example", std::nullopt}};
    TenantPlan tenant;
    tenant.name = "acme";
    tenant.backend_url = "http://127.0.0.1:9000/tickets";
    tenant.domains = {domain};
    return {{tenant}};
  }
  static Plan other() {
    Plan plan = acme();
    plan.tenants[0].name = "other";
    plan.tenants[0].domains[0].name = "other.example";
    plan.tenants[0].domains[0].addresses = {{"help@other.example", std::nullopt}};
    return plan;
  }

  std::string directory_;
  base::Limits limits_;
  base::ManualClock clock_;
  std::unique_ptr<certs::Sealer> sealer_;
  std::unique_ptr<AccountStore> store_;
};

}  // namespace policy

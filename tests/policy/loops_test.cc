// Product rule A5 as far as policy goes: partners, the rate of a pair, the tag of what was sent.
#include <gtest/gtest.h>

#include "core/base/bytes.h"
#include "policy/pair_rate.h"
#include "policy/partners.h"
#include "policy/sent_tag.h"

namespace policy {
namespace {

base::Limits few(std::int64_t messages, std::int64_t pairs = 100) {
  base::Limits limits;
  limits.loop_pair_messages = messages;
  limits.loop_pairs = pairs;
  return limits;
}

TEST(PairRate, FlagsPastTheBoundAndForgetsAfterTheWindow) {
  PairRate rate(few(3));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(0, rate.count("ann@c.example", "help@a.example", i));
  EXPECT_FALSE(rate.is_over("ann@c.example", "help@a.example", 3));
  EXPECT_EQ(rate.count("ann@c.example", "help@a.example", 4), 1);
  EXPECT_EQ(rate.count("ann@c.example", "help@a.example", 4), 2);
  EXPECT_TRUE(rate.is_over("ann@c.example", "help@a.example", 5));
  EXPECT_FALSE(rate.is_over("ann@c.example", "sales@a.example", 5));
  EXPECT_EQ(0, rate.count("ben@c.example", "help@a.example", 6));
  EXPECT_FALSE(rate.is_over("ann@c.example", "help@a.example", base::kHour));
  EXPECT_EQ(0, rate.count("ann@c.example", "help@a.example", base::kHour));
  EXPECT_EQ(rate.size(), 2U);
}

TEST(PairRate, TheTableIsBoundedAndTheOldestGo) {
  PairRate rate(few(1, 1000));
  rate.count("first", "a", 0);
  EXPECT_EQ(1, rate.count("first", "a", 1));
  for (int i = 0; i < 999; ++i) rate.count("s" + std::to_string(i), "a", 2);
  EXPECT_TRUE(rate.is_over("first", "a", 3));
  for (int i = 0; i < 5000; ++i) rate.count("t" + std::to_string(i), "a", 3);
  EXPECT_EQ(rate.size(), 1000U);
  EXPECT_FALSE(rate.is_over("first", "a", 3));
}

TEST(SentTag, IsReadBackByItsTenantOnly) {
  base::SystemClock clock;
  const base::Id id = base::IdGenerator(clock).next();
  const std::string tag = make_sent_tag("key", "acme", id);
  EXPECT_LE(tag.size(), 100U);  // RFC 3461 4.4
  EXPECT_EQ(read_sent_tag("key", "acme", tag), id);
  std::string lower = tag;
  for (char& c : lower) c = static_cast<char>(std::tolower(c));
  EXPECT_EQ(read_sent_tag("key", "acme", lower), id);
  EXPECT_FALSE(read_sent_tag("key", "other", tag));
  EXPECT_FALSE(read_sent_tag("another key", "acme", tag));
  for (std::size_t i = 0; i < tag.size(); ++i) {
    std::string changed = tag;
    changed[i] = changed[i] == 'x' ? 'y' : 'x';
    if (base::iequals(changed, tag)) continue;
    EXPECT_FALSE(read_sent_tag("key", "acme", changed)) << changed;
    EXPECT_FALSE(read_sent_tag("key", "acme", tag.substr(0, i)));
  }
  EXPECT_FALSE(read_sent_tag("key", "acme", tag + "0"));
  EXPECT_FALSE(read_sent_tag("key", "acme", ""));
}

TEST(Partners, AddressesDomainsAndWhatIsBelow) {
  Tenant tenant;
  tenant.name = "acme";
  tenant.partners = {"help@partner.example"};
  Domain domain;
  domain.name = "acme.example";
  domain.tenant = "acme";
  domain.partners = {"desk.example"};
  tenant.domains["acme.example"] = domain;
  domain.name = "b.example";
  domain.partners = {};
  tenant.domains["b.example"] = domain;
  const Accounts accounts({{"acme", tenant}});
  const Domain& a = *accounts.domain("acme.example");
  const Domain& b = *accounts.domain("b.example");
  for (const char* partner :
       {"help@partner.example", "HELP@Partner.Example", "x@desk.example", "x@eu.desk.example"}) {
    EXPECT_TRUE(is_partner(accounts, a, partner)) << partner;
    EXPECT_TRUE(is_partner(*accounts.tenant("acme"), partner)) << partner;
  }
  for (const char* other : {"ann@partner.example", "x@notdesk.example", "x@desk.example.org", "",
                            "desk.example", "@desk.example"}) {
    EXPECT_FALSE(is_partner(accounts, a, other)) << other;
  }
  EXPECT_TRUE(is_partner(accounts, b, "help@partner.example"));
  EXPECT_FALSE(is_partner(accounts, b, "x@desk.example"));
  EXPECT_TRUE(has_partners(tenant));
  tenant.partners.clear();
  EXPECT_TRUE(has_partners(tenant));
  tenant.domains["acme.example"].partners.clear();
  EXPECT_FALSE(has_partners(tenant));
}

}  // namespace
}  // namespace policy

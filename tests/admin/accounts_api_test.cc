#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "admin/admin_fixture.h"

namespace admin {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using AccountsApiTest = AdminFixture;

TEST_F(AccountsApiTest, ApplyListShowRemove) {
  start();
  const Response applied = post("/v1/apply", acme());
  ASSERT_EQ(applied.status, 200) << applied.text;
  const json tenant = applied.body().at("tenants").at(0);
  EXPECT_THAT(tenant.at("webhook_secret").get<std::string>(), StartsWith("whsec_"));
  const std::string password = applied.body().at("domains").at(0).at("credential").at("password");
  EXPECT_THAT(password, StartsWith("rd_"));
  const json again = post("/v1/apply", acme()).body();
  EXPECT_EQ(again,
            json::parse(R"({"tenants":[{"name":"acme"}],"domains":[{"name":"acme.example"}]})"));

  for (const char* path :
       {"/v1/tenants", "/v1/tenants/acme", "/v1/domains", "/v1/backends",
        "/v1/domains/ACME.example", "/v1/addresses", "/v1/smarthosts",
        "/v1/addresses/support%40acme.example", "/v1/smarthosts/acme.example", "/v1/backends/acme",
        "/v1/credentials", "/v1/credentials/acme", "/v1/credentials/acme.example", "/v1/status"}) {
    const Response response = get(path);
    EXPECT_EQ(response.status, 200) << path;
    for (const std::string& secret : {password, std::string("hidden"), std::string("s3cret"),
                                      std::string("digest"), std::string("sealed")}) {
      EXPECT_THAT(response.text, Not(HasSubstr(secret))) << path;
    }
  }
  EXPECT_EQ(get("/v1/addresses/support%40acme.example").body().at("verification"), "unverified");
  EXPECT_EQ(get("/v1/smarthosts/acme.example").body().at("host"), "mail.acme.example");
  EXPECT_EQ(get("/v1/domains?tenant=nobody").body().at("domains").size(), 0U);
  EXPECT_EQ(get("/v1/tenants/nobody").status, 404);
  EXPECT_EQ(get("/v1/addresses/nobody%40acme.example").status, 404);

  enqueue();
  const Response gone = request("DELETE", "/v1/addresses/support%40acme.example");
  ASSERT_EQ(gone.status, 200) << gone.text;
  EXPECT_EQ(gone.body().at("removed").at("addresses").at(0), "support@acme.example");
  EXPECT_EQ(gone.body().at("still_queued"), 1);
  EXPECT_EQ(request("DELETE", "/v1/addresses/support%40acme.example").status, 404);
  EXPECT_EQ(request("DELETE", "/v1/smarthosts/acme.example").status, 200);
  EXPECT_EQ(request("DELETE", "/v1/domains/acme.example").body().at("still_queued"), 1);
  EXPECT_EQ(request("DELETE", "/v1/tenants/acme").status, 200);
  EXPECT_EQ(get("/v1/tenants").body().at("tenants").size(), 0U);
}

TEST_F(AccountsApiTest, PlansWithMistakesNameThePath) {
  start();
  const auto mistake = [&](const std::function<void(json&)>& spoil) {
    json plan = acme();
    spoil(plan["tenant"][0]);
    const Response response = post("/v1/apply", plan);
    EXPECT_NE(response.status, 200);
    return response.error();
  };
  EXPECT_THAT(mistake([](json& t) { t["colour"] = 1; }),
              StartsWith("tenant[0].colour: unknown key"));
  EXPECT_THAT(mistake([](json& t) { t["domain"][0]["smarthost"]["port"] = "25"; }),
              StartsWith("tenant[0].domain[0].smarthost.port: a whole number"));
  EXPECT_THAT(mistake([](json& t) { t["domain"][0]["smarthost"]["port"] = 70000; }),
              HasSubstr("smarthost.port"));
  EXPECT_THAT(mistake([](json& t) { t["domain"][0]["smarthost"]["reconnect_interval"] = "soon"; }),
              HasSubstr("a duration is expected"));
  EXPECT_THAT(mistake([](json& t) { t["domain"][0]["mode"] = "both"; }),
              HasSubstr("two-way or outbound-only"));
  EXPECT_THAT(mistake([](json& t) { t["domain"] = json::object(); }), HasSubstr("[[domain]]"));
  EXPECT_THAT(mistake([](json& t) { t.erase("name"); }), HasSubstr("tenant[0].name: is missing"));
  EXPECT_THAT(mistake([](json& t) { t["domain"][0]["address"][0]["address"] = "x@y.example"; }),
              StartsWith("tenant acme, domain acme.example, address x@y.example: "));
  EXPECT_EQ(get("/v1/tenants").body().at("tenants").size(), 0U);
}

TEST_F(AccountsApiTest, CredentialsAndSecretsRotate) {
  start();
  const json first = post("/v1/apply", acme()).body();
  const std::string old_id = first.at("domains").at(0).at("credential").at("id");
  const Response fresh = post("/v1/credentials/acme.example/rotate");
  ASSERT_EQ(fresh.status, 200) << fresh.text;
  const std::string username = fresh.body().at("credential").at("username");
  EXPECT_NE(accounts_->snapshot()->credential(username), nullptr);
  const Response third = post("/v1/credentials/acme.example/rotate");
  EXPECT_EQ(third.status, 422);
  EXPECT_THAT(third.error(), HasSubstr("credential revoke acme.example " + old_id));
  EXPECT_EQ(request("DELETE", "/v1/credentials/acme.example/" + old_id).status, 200);
  EXPECT_EQ(request("DELETE", "/v1/credentials/acme.example/" + old_id).status, 404);
  EXPECT_EQ(get("/v1/credentials/acme.example").body().at("credentials").size(), 1U);
  EXPECT_EQ(post("/v1/credentials/acme/rotate").status, 200);
  EXPECT_EQ(get("/v1/credentials/acme").body().at("credentials").size(), 2U);
  EXPECT_EQ(post("/v1/credentials/nobody/rotate").status, 404);
  const json secret = post("/v1/backends/acme/rotate-secret").body();
  EXPECT_NE(secret.at("webhook_secret"), first.at("tenants").at(0).at("webhook_secret"));
  EXPECT_EQ(get("/v1/backends/acme").body().at("webhook_secrets"), 2);
  EXPECT_EQ(post("/v1/backends/acme/end-old-secret").body().at("ended"), 1);
  EXPECT_EQ(post("/v1/backends/acme/end-old-secret").body().at("ended"), 0);
  EXPECT_EQ(get("/v1/backends/acme").body().at("webhook_secrets"), 1);
  EXPECT_EQ(post("/v1/backends/nobody/end-old-secret").status, 404);
}

TEST_F(AccountsApiTest, PausedBackEndsAreShownAndResumed) {
  AdminOptions with_backends = options();
  std::vector<std::string> resumed;
  with_backends.paused_backends = [] {
    return std::map<std::string, PausedBackend>{{"acme", {"refused", 1000, 61'000, "HTTP 401"}}};
  };
  with_backends.resume_backend = [&](const std::string& tenant) {
    resumed.push_back(tenant);
    return true;
  };
  start(with_backends);
  ASSERT_EQ(post("/v1/apply", acme()).status, 200);
  const json row = get("/v1/backends").body().at("backends").at(0);
  EXPECT_EQ(row.at("paused"), true);
  EXPECT_EQ(row.at("reason"), "refused");
  EXPECT_EQ(row.at("paused_since"), "1970-01-01T00:00:01.000Z");
  EXPECT_EQ(row.at("next_probe"), "1970-01-01T00:01:01.000Z");
  EXPECT_EQ(row.at("last_reply"), "HTTP 401");
  EXPECT_EQ(get("/v1/backends/acme").body(), row);
  EXPECT_EQ(get("/v1/status").body().at("paused_backends"), json::array({"acme"}));
  EXPECT_EQ(post("/v1/backends/acme/resume").body().at("was_paused"), true);
  EXPECT_EQ(post("/v1/backends/nobody/resume").status, 404);
  EXPECT_EQ(resumed, std::vector<std::string>{"acme"});
}

TEST_F(AccountsApiTest, DkimIsActivatedOnceDnsHasIt) {
  start();
  ASSERT_EQ(post("/v1/apply", acme()).status, 200);
  const Response made =
      post("/v1/dkim/acme.example", {{"selector", "s1"}, {"algorithm", "ed25519-sha256"}});
  ASSERT_EQ(made.status, 200) << made.text;
  EXPECT_EQ(made.body().at("name"), "s1._domainkey.acme.example");
  EXPECT_EQ(made.body().at("type"), "TXT");
  const std::string value = made.body().at("value");
  EXPECT_EQ(post("/v1/dkim/acme.example", {{"selector", "s2"}, {"algorithm", "md5"}}).status, 400);

  const std::string activate = "/v1/dkim/acme.example/s1/activate";
  const Response absent = post(activate);
  EXPECT_EQ(absent.status, 409);
  EXPECT_THAT(absent.error(), HasSubstr("DNS has no TXT record at s1._domainkey.acme.example"));
  on_loop([&] { resolver_.put("s1._domainkey.acme.example", "v=DKIM1; k=ed25519; p=AAAA"); });
  EXPECT_THAT(post(activate).error(), HasSubstr("another key"));
  EXPECT_FALSE(accounts_->snapshot()->domain("acme.example")->dkim_keys.at("s1").active);
  on_loop([&] { resolver_.put("s1._domainkey.acme.example", value); });
  EXPECT_EQ(post(activate).status, 200);
  EXPECT_TRUE(accounts_->snapshot()->domain("acme.example")->dkim_keys.at("s1").active);

  ASSERT_EQ(post("/v1/dkim/acme.example", {{"selector", "s2"}}).status, 200);
  EXPECT_EQ(post("/v1/dkim/acme.example/s2/activate", {{"force", true}}).status, 200);
  EXPECT_EQ(get("/v1/dkim/acme.example").body().at("keys").size(), 2U);
  EXPECT_EQ(get("/v1/dkim/acme.example/s2").body().at("active"), true);
  EXPECT_THAT(get("/v1/dkim").text, Not(HasSubstr("PRIVATE")));
  EXPECT_EQ(request("DELETE", "/v1/dkim/acme.example/s2").status, 200);
  EXPECT_EQ(get("/v1/dkim/acme.example/s2").status, 404);
  EXPECT_EQ(post("/v1/dkim/acme.example/s2/activate").status, 404);
}

}  // namespace
}  // namespace admin

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "admin/admin_fixture.h"

namespace admin {
namespace {

using ::testing::MatchesRegex;

using QueueApiTest = AdminFixture;

TEST_F(QueueApiTest, ListAndShow) {
  start();
  EXPECT_EQ(get("/v1/queue").body(), json::parse(R"({"messages": [], "total": 0})"));
  const std::string id = enqueue().str();
  enqueue();
  const json list = get("/v1/queue").body();
  EXPECT_EQ(list.at("total"), 2);
  json row = list.at("messages").at(0);
  if (row.at("id") != id) row = list.at("messages").at(1);
  EXPECT_EQ(row.at("id"), id);
  EXPECT_EQ(row.at("state"), "waiting");
  EXPECT_EQ(row.at("destination"), "backend:acme");
  EXPECT_EQ(row.at("attempts"), 0);
  EXPECT_EQ(row.at("last_reply"), "");
  EXPECT_EQ(row.at("mail_from"), "jane@customer.example");
  EXPECT_EQ(row.at("recipients"), json::array({"support@acme.example"}));
  EXPECT_THAT(row.at("next_attempt").get<std::string>(),
              MatchesRegex("20[0-9][0-9]-[0-9]+-[0-9]+T[0-9:]+[.][0-9]+Z"));

  EXPECT_EQ(get("/v1/queue?tenant=acme&limit=1").body().at("messages").size(), 1U);
  EXPECT_EQ(get("/v1/queue?tenant=acme&limit=1").body().at("total"), 2);
  EXPECT_EQ(get("/v1/queue?tenant=other").body().at("total"), 0);
  EXPECT_EQ(get("/v1/queue?state=held").body().at("total"), 0);
  EXPECT_EQ(get("/v1/queue?state=lost").status, 400);
  EXPECT_EQ(get("/v1/queue?limit=x").status, 400);

  const json shown = get("/v1/queue/" + id).body();
  EXPECT_EQ(shown.at("deliveries").at(0).at("recipients").at(0).at("address"),
            "support@acme.example");
  EXPECT_EQ(get("/v1/queue/nonsense").status, 404);
  EXPECT_EQ(get("/v1/queue/" + ids_.next().str()).status, 404);
}

TEST_F(QueueApiTest, ChangesAreAnsweredAfterTheirCommit) {
  start();
  const std::string path = "/v1/queue/" + enqueue().str();
  EXPECT_EQ(post(path + "/hold?reason=looks%20odd").status, 200);
  json row = get("/v1/queue?state=held").body().at("messages").at(0);
  EXPECT_EQ(row.at("last_reply"), "looks odd");
  EXPECT_TRUE(row.at("next_attempt").is_null());
  EXPECT_EQ(post(path + "/release").status, 200);
  EXPECT_EQ(get("/v1/queue?state=held").body().at("total"), 0);
  EXPECT_EQ(post(path + "/retry").status, 200);
  EXPECT_EQ(request("DELETE", path).status, 200);
  EXPECT_EQ(get("/v1/queue").body().at("total"), 0);
  EXPECT_EQ(request("DELETE", path).status, 404);
  EXPECT_EQ(post(path + "/retry").status, 404);
}

}  // namespace
}  // namespace admin

#include "relayd/tickets/ticket_id.h"

#include <gtest/gtest.h>

namespace tickets {
namespace {

TEST(TicketId, FromTheFieldOrTheBody) {
  struct Case {
    std::string field, body, id;
  };
  const Case cases[] = {
      {"", R"({"id": "T-1"})", "T-1"},
      {"", R"({"id": 4711})", "4711"},
      {"", R"({"id": -1})", "-1"},
      {"", R"({"status": "ok", "ticket_id": 5, "id": 6})", "5"},
      {"", R"({"id": 6, "ticket_id": 5})", "5"},
      {"X-9", R"({"id": 6})", "X-9"},
      {"", R"({"user": {"id": 1}, "list": [{"id": 2}], "id": 3})", "3"},
      {"", R"({"user": {"id": 1}})", ""},
      {"", R"({"id": 1.5})", ""},
      {"", R"({"id": null, "ticket_id": true})", ""},
      {"", R"([{"id": 1}])", ""},
      {"", R"("id")", ""},
      {"", "", ""},
      {"", "ok", ""},
      // Only the start of a long body is known.
      {"", R"({"id": 12, "text": "goes on and)", "12"},
      {"", R"({"text": "goes on and)", ""},
      {"", "{\"id\": \"a\\u0007b\"}", ""},
      {"", R"({"id": ")" + std::string(129, 'a') + "\"}", ""},
      {"", std::string(2000, '['), ""},
      {"", "{\"a\":" + std::string(1990, '['), ""},
      {std::string(129, 'a'), "", ""},
      {" a b ", "", "a b"},
      {"a\x1b", "", ""},
  };
  for (const Case& c : cases) EXPECT_EQ(ticket_id(c.field, c.body), c.id) << c.field << c.body;
}

}  // namespace
}  // namespace tickets

#include "relayd/admin/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin_fixture.h"

namespace admin {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

using ServerTest = AdminFixture;

TEST_F(ServerTest, HealthReadinessMetricsStatus) {
  metrics_.counter("relayd_test_total", "For this test.").add(7);
  start();
  EXPECT_EQ(get("/healthz").status, 200);
  EXPECT_EQ(get("/readyz").status, 200);
  on_loop([this] { ready_ = false; });
  EXPECT_EQ(get("/readyz").status, 503);
  EXPECT_EQ(get("/healthz").status, 200);
  const Response metrics = get("/metrics");
  EXPECT_THAT(metrics.type, HasSubstr("version=0.0.4"));
  EXPECT_THAT(metrics.text, HasSubstr("relayd_test_total 7\n"));
  const json status = get("/v1/status").body();
  EXPECT_EQ(status.at("ready"), false);
  EXPECT_EQ(status.at("accounts").at("tenants"), 0);
}

TEST_F(ServerTest, SocketIsPrivateAndStaleOnesAreReplaced) {
  start();
  struct stat info {};
  ASSERT_EQ(lstat(socket_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  const auto second = AdminServer::open(options());
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.message(), HasSubstr("another process listens"));
  stop();
  EXPECT_NE(lstat(socket_.c_str(), &info), 0);
  std::ofstream(socket_) << "not a socket";
  EXPECT_FALSE(AdminServer::open(options()).ok());
}

TEST_F(ServerTest, ErrorsAreSentencesInJson) {
  start();
  EXPECT_EQ(get("/nowhere").status, 404);
  EXPECT_THAT(get("/nowhere").error(), HasSubstr("nothing at this path"));
  const Response method = request("PUT", "/v1/apply", "{}");
  EXPECT_EQ(method.status, 405);
  EXPECT_THAT(method.error(), HasSubstr("only POST"));
  EXPECT_EQ(request("POST", "/v1/apply", "[1]").status, 400);
  EXPECT_EQ(request("POST", "/v1/apply", "{\"tenant\":").status, 400);
  EXPECT_EQ(get("/v1/domains/%zz").status, 400);
  EXPECT_EQ(get("/v1/domains/%ff").status, 400);
  EXPECT_EQ(get("/v1/domains/%").status, 400);
  EXPECT_EQ(post("/v1/dkim/acme.example", {{"selector", 5}}).status, 400);
}

TEST_F(ServerTest, LongRequestsAreRefused) {
  limits_.admin_request = 10'000;
  start();
  const Response little = request("POST", "/v1/apply", std::string(15'000, ' '));
  EXPECT_EQ(little.status, 413);
  EXPECT_THAT(little.error(), HasSubstr("limits.admin_request"));
  EXPECT_NE(request("POST", "/v1/apply", std::string(5'000'000, ' ')).status, 200);
  EXPECT_EQ(get("/healthz").status, 200);
}

TEST_F(ServerTest, TcpNeedsTheToken) {
  std::ofstream(directory_ + "/token") << "0123456789abcdef0123\n";
  AdminOptions with_tcp = options();
  with_tcp.listen = "127.0.0.1:0";
  with_tcp.token_file = directory_ + "/token";
  start(with_tcp);
  const std::string base = "http://127.0.0.1:" + std::to_string(server_->tcp_port());
  EXPECT_EQ(request("GET", "/v1/status", "", base).status, 401);
  EXPECT_EQ(request("GET", "/v1/status", "", base, "Authorization: Bearer wrong").status, 401);
  EXPECT_EQ(request("GET", "/v1/status", "", base, "Authorization: Bearer ").status, 401);
  EXPECT_EQ(
      request("GET", "/v1/status", "", base, "Authorization: Bearer 0123456789abcdef0123").status,
      200);
  EXPECT_EQ(request("GET", "/readyz", "", base).status, 200);
  EXPECT_EQ(request("GET", "/metrics", "", base).status, 401);
  EXPECT_EQ(request("POST", "/v1/apply", acme().dump(), base).status, 401);
  EXPECT_EQ(accounts_->snapshot()->tenants().size(), 0U);
}

TEST_F(ServerTest, TcpWithoutATokenDoesNotStart) {
  AdminOptions open = options();
  open.listen = "127.0.0.1:0";
  EXPECT_THAT(AdminServer::open(open).message(), HasSubstr("admin.token_file"));
  open.token_file = directory_ + "/empty";
  std::ofstream(open.token_file) << "\n";
  EXPECT_THAT(AdminServer::open(open).message(), HasSubstr("holds no token"));
}

TEST_F(ServerTest, ClientsThatLeaveAndAServerThatStops) {
  start();
  ASSERT_EQ(post("/v1/apply", acme()).status, 200);
  ASSERT_EQ(post("/v1/dkim/acme.example", {{"selector", "s1"}}).status, 200);
  on_loop([this] { resolver_.hold = true; });
  const std::string path = "/v1/dkim/acme.example/s1/activate";
  EXPECT_EQ(request("POST", path, "{}", "", "", 200).status, 0);
  EXPECT_EQ(get("/healthz").status, 200);
  on_loop([this] { resolver_.release(); });  // answers a request whose client has gone
  EXPECT_EQ(get("/healthz").status, 200);
  EXPECT_EQ(request("POST", path, "{}", "", "", 200).status, 0);
  std::thread waiting([&] { request("POST", path, "{}", "", "", 2000); });
  for (std::size_t held = 0; held < 2; std::this_thread::yield()) {
    on_loop([&] { held = resolver_.held.size(); });
  }
  // Two requests wait, one has lost its client: both are let go, and late answers fall on the
  // floor.
  stop();
  waiting.join();
  for (auto& answer : resolver_.held) answer();
}

TEST_F(ServerTest, RubbishOnTheSocket) {
  start();
  for (const std::string& bytes :
       {std::string("\0\1\2\3\r\n\r\n", 8), std::string("EHLO x\r\n\r\n"),
        "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n",
        std::string("POST /v1/apply HTTP/1.1\r\nContent-Length: -5\r\n\r\n"),
        std::string("POST /v1/apply HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n")}) {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    close(fd);
    EXPECT_EQ(get("/healthz").status, 200);
  }
}

}  // namespace
}  // namespace admin

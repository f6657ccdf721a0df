// The real program against the real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "admin/admin_fixture.h"

namespace admin {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Ran {
  int code = -1;
  std::string out, err;
};

class RelayctlTest : public AdminFixture {
 protected:
  RelayctlTest() {
    start();
    write("relayd.toml", "hostname = \"relay.test\"\n[admin]\nsocket = \"admin.sock\"\n");
    write("smarthost.password", "s3cret\n");
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream file(directory_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Both programs lie in the build directory.
  Ran run(const std::string& arguments) {
    const auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "relayctl";
    const std::string command = program.string() + " --config " + directory_ + "/relayd.toml " +
                                arguments + " >" + directory_ + "/out 2>" + directory_ + "/err";
    Ran ran;
    const int status = std::system(command.c_str());
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ran.out = read("out");
    ran.err = read("err");
    return ran;
  }
  Ran apply(const std::string& text) {
    write("accounts.toml", text);
    return run("apply " + directory_ + "/accounts.toml --json");
  }

  static constexpr const char* kAcme = R"([[tenant]]
name = "acme"
[tenant.backend]
url    = "http://127.0.0.1:9000/tickets"
format = "json"
[[tenant.domain]]
name    = "acme.example"
mode    = "two-way"
inbound = "standard"
[tenant.domain.smarthost]
host = "mail.acme.example"
port = 587
tls  = "starttls"
username = "relayd"
password_file = "smarthost.password"
reconnect_interval = "30s"
connections = 2
[[tenant.domain.address]]
address = "support@acme.example"
)";
};

TEST_F(RelayctlTest, AppliesTheFileOfTheManual) {
  const Ran first = apply(kAcme);
  ASSERT_EQ(first.code, 0) << first.err;
  const json made = json::parse(first.out);
  EXPECT_THAT(made.at("tenants").at(0).at("credential").at("password").get<std::string>(),
              StartsWith("rd_"));
  const auto smarthost = accounts_->snapshot()->domain("acme.example")->smarthost;
  EXPECT_EQ(*accounts_->smarthost_password("acme.example", *smarthost), "s3cret");
  const Ran second = apply(kAcme);
  EXPECT_EQ(json::parse(second.out).at("domains").at(0).size(), 1U) << second.out;
}

TEST_F(RelayctlTest, MistakesInFilesNameLineAndKey) {
  const auto replaced = [](const std::string& what, const std::string& with) {
    std::string text = kAcme;
    return text.replace(text.find(what), what.size(), with);
  };
  const auto mistake = [&](const std::string& text) {
    const Ran ran = apply(text);
    EXPECT_EQ(ran.code, 1);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    return ran.err;
  };
  EXPECT_THAT(mistake(replaced("port = 587", "port = \"x\"")),
              HasSubstr("accounts.toml:12: tenant[0].domain[0].smarthost.port: a whole number"));
  EXPECT_THAT(mistake(replaced("inbound =", "inbuond =")),
              HasSubstr("accounts.toml:9: tenant[0].domain[0].inbuond: unknown key"));
  EXPECT_THAT(mistake(replaced("\"two-way\"", "\"both ways\"")),
              AllOf(HasSubstr("accounts.toml:8: "), HasSubstr("two-way or outbound-only")));
  EXPECT_THAT(mistake(replaced("\"30s\"", "\"30 parsecs\"")), HasSubstr("accounts.toml:16: "));
  EXPECT_THAT(mistake(replaced("smarthost.password", "nowhere")),
              AllOf(HasSubstr("accounts.toml:15: password_file: "), HasSubstr("nowhere")));
  EXPECT_THAT(mistake(replaced("[[tenant]]", "[[tenant]")), HasSubstr("accounts.toml:1: "));
  EXPECT_THAT(mistake(replaced("support@acme", "support@other")),
              HasSubstr("address support@other.example: is not in domain acme.example"));
  EXPECT_EQ(accounts_->snapshot()->tenants().size(), 0U);
}

TEST_F(RelayctlTest, VerbsOneByOne) {
  EXPECT_EQ(run("tenant add acme --url http://127.0.0.1:9000/").code, 0);
  EXPECT_EQ(run("domain add acme.example --tenant acme --inbound enhanced").code, 0);
  EXPECT_EQ(run("address add support@acme.example").code, 0);
  EXPECT_EQ(run("smarthost add acme.example --host 127.0.0.1 --port 2525 --tls none --username u "
                "--password-file " +
                directory_ + "/smarthost.password")
                .code,
            0);
  EXPECT_EQ(run("smarthost add support@acme.example --host 127.0.0.2").code, 0);
  EXPECT_EQ(accounts_->snapshot()->smarthost_by_key("support@acme.example")->host, "127.0.0.2");
  EXPECT_EQ(run("smarthost remove support@acme.example").code, 0);
  EXPECT_EQ(run("backend add acme --url http://127.0.0.1:9001/ --format rfc822").code, 0);
  EXPECT_EQ(json::parse(run("--json backend show acme").out).at("format"), "rfc822");
  EXPECT_EQ(run("address verify support@acme.example --by-hand").code, 0);
  EXPECT_EQ(json::parse(run("address show support@acme.example --json").out).at("verification"),
            "verified");

  const json rotated = json::parse(run("credential rotate acme.example --json").out);
  const std::string id = rotated.at("credential").at("id");
  EXPECT_THAT(run("credential list acme.example").out, HasSubstr(id));
  EXPECT_THAT(run("credential rotate acme.example").err, HasSubstr("credential revoke"));
  EXPECT_EQ(run("credential revoke acme.example " + id).code, 0);
  EXPECT_THAT(run("credential add acme").out, HasSubstr("shown only once"));
  EXPECT_THAT(run("backend rotate-secret acme").out, HasSubstr("whsec_"));
  EXPECT_EQ(run("backend end-old-secret acme").out, "ended: 1\ntenant: acme\n");
  EXPECT_THAT(run("partner add acme.example desk.example").out, HasSubstr("desk.example"));
  EXPECT_THAT(run("partner list acme.example").out, HasSubstr("desk.example"));
  EXPECT_EQ(run("partner add acme.example no@address@at.all").code, 1);
  EXPECT_EQ(json::parse(run("partner remove acme.example desk.example --json").out).at("partners"),
            json::array());
  EXPECT_THAT(run("backend resume acme").out, HasSubstr("was_paused: no"));

  const json record =
      json::parse(run("dkim add acme.example --selector s1 --algorithm ed25519-sha256 --json").out);
  EXPECT_EQ(record.at("name"), "s1._domainkey.acme.example");
  EXPECT_EQ(run("dkim activate acme.example s1").code, 1);
  EXPECT_EQ(run("dkim activate acme.example s1 --force").code, 0);
  EXPECT_THAT(run("dkim list").out, HasSubstr("ed25519-sha256"));
  EXPECT_EQ(run("dkim remove acme.example s1").code, 0);
  for (const char* noun :
       {"tenant", "domain", "address", "credential", "smarthost", "backend", "dkim", "queue"}) {
    EXPECT_EQ(run(std::string(noun) + " list").code, 0) << noun;
    EXPECT_TRUE(json::accept(run(std::string(noun) + " list --json").out)) << noun;
  }
  EXPECT_THAT(run("domain remove acme.example").out, HasSubstr("support@acme.example"));
  EXPECT_EQ(run("tenant remove acme").code, 0);
  EXPECT_EQ(run("status").code, 0);
}

TEST_F(RelayctlTest, QueueVerbs) {
  const std::string id = enqueue().str();
  EXPECT_EQ(json::parse(run("queue list --json").out).at("messages").at(0).at("id"), id);
  EXPECT_THAT(run("queue list").out, AllOf(HasSubstr(id), HasSubstr("1 in all")));
  EXPECT_EQ(run("queue hold " + id + " --reason 'a look first'").code, 0);
  EXPECT_THAT(run("queue show " + id).out, HasSubstr("a look first"));
  EXPECT_EQ(run("queue release " + id).code, 0);
  EXPECT_EQ(run("queue retry " + id).code, 0);
  EXPECT_EQ(run("queue remove " + id).code, 0);
  EXPECT_EQ(run("queue remove " + id).code, 1);
}

TEST_F(RelayctlTest, ExitCodes) {
  EXPECT_EQ(run("").code, 2);
  EXPECT_EQ(run("fly").code, 2);
  EXPECT_EQ(run("tenant add acme").code, 2);
  EXPECT_EQ(run("queue show").code, 2);
  EXPECT_EQ(run("--help").code, 0);
  EXPECT_EQ(run("--socket a --url b status").code, 2);
  const Ran missing = run("tenant show nobody");
  EXPECT_EQ(missing.code, 1);
  EXPECT_EQ(missing.err, "relayctl: there is no tenant nobody\n");
  const Ran nobody = run("--socket " + directory_ + "/none.sock status");
  EXPECT_EQ(nobody.code, 1);
  EXPECT_THAT(nobody.err, HasSubstr("is it running?"));
}

}  // namespace
}  // namespace admin

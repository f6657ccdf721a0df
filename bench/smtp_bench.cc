// The two SMTP machines: content, commands, whole transactions, whole sessions.
#include <cstring>
#include <memory>

#include "core/smtp/client_machine.h"
#include "core/smtp/server_machine.h"
#include "operation.h"

namespace bench {
namespace {

constexpr std::size_t kPiece = 64 << 10;  // what a connection's buffer holds

base::Limits no_end() {
  base::Limits limits;
  limits.messages_per_session = INT64_MAX;
  limits.message_size = INT64_MAX;
  return limits;
}

// Says yes to everything and takes the output when a session would send it.
class Server {
 public:
  Server() {
    smtp::ServerOptions options;
    options.hostname = "relay.example.net";
    options.auth_in_plaintext = true;
    machine_ = std::make_unique<smtp::ServerMachine>(std::move(options), limits_);
    machine_->greet();
  }

  void say(std::string commands) { read(commands); }

  // How much content was in it. Unstuffs `input` in place.
  std::size_t read(std::span<char> input) {
    std::size_t content = 0;
    for (;;) {
      smtp::Step step = machine_->next(input);
      input = input.subspan(step.used);
      if (std::holds_alternative<smtp::NeedInput>(step.event)) break;
      if (const auto* bytes = std::get_if<smtp::Content>(&step.event)) {
        content += bytes->bytes.size();
      } else if (std::holds_alternative<smtp::Mail>(step.event)) {
        machine_->answer({250, "2.1.0", "sender ok"});
      } else if (std::holds_alternative<smtp::Rcpt>(step.event)) {
        machine_->answer({250, "2.1.5", "recipient ok"});
      } else if (std::holds_alternative<smtp::DataStart>(step.event)) {
        machine_->answer({250, "2.0.0", "go on"});
      } else if (std::holds_alternative<smtp::ContentEnd>(step.event)) {
        machine_->answer({250, "2.0.0", "queued as 01J00000000000000000000000"});
      } else if (std::holds_alternative<smtp::Auth>(step.event)) {
        machine_->answer_auth(smtp::AuthResult::kAccepted);
      } else if (std::holds_alternative<smtp::Close>(step.event)) {
        closed_ = true;
        break;
      }
    }
    output_ = machine_->take_output();
    return content;
  }

  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] const std::string& output() const { return output_; }

 private:
  const base::Limits limits_ = no_end();
  std::unique_ptr<smtp::ServerMachine> machine_;
  std::string output_;
  bool closed_ = false;
};

constexpr const char* kHello = "EHLO client.example\r\n";
constexpr const char* kEnvelope =
    "MAIL FROM:<anna@customer.example> SIZE=4096 BODY=8BITMIME\r\nRCPT "
    "TO:<support@acme.example>\r\n";

// In the middle of a message without an end.
Run server_data(std::string piece, std::size_t content) {
  auto server = std::make_shared<Server>();
  server->say(std::string(kHello) + kEnvelope + "DATA\r\n");
  return [server, piece = std::move(piece), content, input = std::string(kPiece, ' ')]() mutable {
    std::memcpy(input.data(), piece.data(), piece.size());
    require(server->read(input) == content, "all of it is content");
  };
}

Run server_chunk() {
  auto server = std::make_shared<Server>();
  server->say(std::string(kHello) + kEnvelope);
  const std::string chunk = "BDAT " + std::to_string(kPiece) + "\r\n" + lines(kPiece);
  return [server, chunk, input = chunk]() mutable {
    std::memcpy(input.data(), chunk.data(), chunk.size());
    require(server->read(input) == kPiece, "all of it is content");
  };
}

// In one piece, pipelined.
Run server_says(std::string commands) {
  auto server = std::make_shared<Server>();
  server->say(kHello);
  return [server, commands = std::move(commands), input = std::string()]() mutable {
    input = commands;
    server->read(input);
    require(server->output().ends_with("\r\n") && server->output().find("\r\n5") > 1'000'000,
            "no command is refused");
  };
}

Run server_transaction(std::size_t octets) {
  return server_says(std::string(kEnvelope) + "DATA\r\n" + lines(octets) + ".\r\n");
}

Run server_session() {
  return [] {
    Server server;
    server.say(kHello);
    server.say("AUTH PLAIN AHVzZXJAYWNtZS5leGFtcGxlAHRoZSBzZWNyZXQgb2YgYWNtZQ==\r\n");
    require(server.output().starts_with("235"), "the login is taken");
    server.say("QUIT\r\n");
    require(server.closed(), "QUIT closes");
  };
}

std::string recipients(int number) {
  std::string commands;
  for (int i = 0; i < number; ++i) {
    commands += "RCPT TO:<support" + std::to_string(i) + "@acme.example>\r\n";
  }
  return commands;
}

// A client machine that has heard a server's greeting, and what that server says to a message.
class Client {
 public:
  explicit Client(bool chunking) : chunking_(chunking) {
    smtp::ClientOptions options;
    options.hostname = "relay.example.net";
    options.tls = smtp::ClientTls::kNone;
    machine_ = std::make_unique<smtp::ClientMachine>(std::move(options), limits_);
    envelope_.mail_from = "support@acme.example";
    envelope_.recipients.push_back({"anna@customer.example", "", ""});
    hear("220 mail.acme.example ESMTP\r\n");
    hear(std::string("250-mail.acme.example\r\n250-PIPELINING\r\n") +
         (chunking ? "250-CHUNKING\r\n" : "") + "250 8BITMIME\r\n");
    require(std::holds_alternative<smtp::Ready>(machine_->next()), "the client is ready");
  }

  void begin(std::size_t octets) {
    machine_->send_message(envelope_, envelope_.recipients, octets);
    hear("250 2.1.0 ok\r\n");
    hear("250 2.1.5 ok\r\n");
    if (!chunking_) hear("354 go ahead\r\n");
    require(std::holds_alternative<smtp::SendContent>(machine_->next()), "content may come");
  }
  std::size_t content(std::string_view bytes) {
    machine_->content(bytes);
    return machine_->take_output().size();
  }
  void end() {
    machine_->content_end();
    hear("250 2.0.0 queued\r\n");
    require(std::holds_alternative<smtp::MessageDone>(machine_->next()), "the message is sent");
  }

 private:
  void hear(std::string_view reply) {
    (void)machine_->take_output();
    machine_->feed(reply);
  }

  const base::Limits limits_ = no_end();
  const bool chunking_;
  std::unique_ptr<smtp::ClientMachine> machine_;
  mail::Envelope envelope_;
};

Run client_data(const std::string& piece, std::size_t wire_octets) {
  auto client = std::make_shared<Client>(false);
  client->begin(1'000'000'000);
  return [client, piece, wire_octets] {
    require(client->content(piece) == wire_octets, "dots are stuffed");
  };
}

Run client_message(std::size_t octets, bool chunking) {
  auto client = std::make_shared<Client>(chunking);
  return [client, content = lines(octets)] {
    client->begin(content.size());
    (void)client->content(content);
    client->end();
  };
}

// Every line of 64 octets starts with a dot; stuffed, as a server reads it, with two.
std::string dotted_lines(bool stuffed) {
  std::string text = lines(kPiece);
  for (std::size_t at = 0; at < text.size(); at += 64) {
    text[at] = '.';
    if (stuffed) text[at + 1] = '.';
  }
  return text;
}

}  // namespace

Operations smtp_operations() {
  constexpr std::size_t kLines = kPiece / 64;
  return {
      {"smtp/server/data/64KiB", [] { return server_data(lines(kPiece), kPiece); }, kPiece},
      {"smtp/server/data/64KiB/dots",
       [] { return server_data(dotted_lines(true), kPiece - kLines); }, kPiece},
      {"smtp/server/bdat/64KiB", server_chunk, kPiece},
      {"smtp/server/commands/12",
       [] {
         return server_says(std::string("MAIL FROM:<a@b.example>\r\n") + recipients(10) +
                            "RSET\r\n");
       },
       0, 12},
      {"smtp/server/transaction/4KiB", [] { return server_transaction(4 << 10); }, 4 << 10},
      {"smtp/server/transaction/64KiB", [] { return server_transaction(64 << 10); }, 64 << 10},
      {"smtp/server/transaction/1MiB", [] { return server_transaction(1 << 20); }, 1 << 20, 1, 10},
      {"smtp/server/session", server_session},
      {"smtp/client/data/64KiB", [] { return client_data(lines(kPiece), kPiece); }, kPiece},
      {"smtp/client/data/64KiB/dots",
       [] { return client_data(dotted_lines(false), kPiece + kLines); }, kPiece},
      {"smtp/client/message/4KiB", [] { return client_message(4 << 10, false); }, 4 << 10},
      {"smtp/client/message/4KiB/chunking", [] { return client_message(4 << 10, true); }, 4 << 10},
  };
}

}  // namespace bench

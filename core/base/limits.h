// Every bound of the program in one table: name (its key is `limits.NAME`), unit, default, reason.
// The table makes the struct, the configuration keys and the reference page; what is not in it
// has no bound and is a defect. Values are fixed while a configuration is in force.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace base {

enum class Unit { kCount, kOctets, kMilliseconds };

inline constexpr std::int64_t kKiB = 1024;
inline constexpr std::int64_t kMiB = 1024 * kKiB;
inline constexpr std::int64_t kGiB = 1024 * kMiB;
inline constexpr std::int64_t kSecond = 1000;
inline constexpr std::int64_t kMinute = 60 * kSecond;
inline constexpr std::int64_t kHour = 60 * kMinute;
inline constexpr std::int64_t kDay = 24 * kHour;

// clang-format off
#define RELAYD_LIMITS(X)                                                                          \
  /* SMTP in */                                                                                   \
  X(message_size, kOctets, 50 * kMiB, "what common mail providers take; said in EHLO as SIZE")     \
  X(header_size, kOctets, 256 * kKiB, "all header fields together; kept in memory while judged")   \
  X(header_fields, kCount, 2000, "fields of one message; each costs an entry in an index")         \
  X(body_line, kOctets, 1 * kMiB, "RFC 5321 4.5.3.1.6 asks for 1000; real HTML mail has longer")   \
  X(body_memory, kOctets, 256 * kKiB, "what a session keeps in memory before it writes to disk")   \
  X(command_line, kOctets, 4096, "RFC 5321 4.5.3.1.4 with room for the parameters of DSN")         \
  X(auth_line, kOctets, 12288, "RFC 4954 section 4: the longest base64 line of an AUTH exchange")  \
  X(recipients, kCount, 1000, "of one message; RFC 5321 4.5.3.1.8 asks for at least 100")          \
  X(messages_per_session, kCount, 10000, "then 421, so that load spreads anew over the loops")     \
  X(bad_commands, kCount, 20, "errors of one session before it is closed")                         \
  X(auth_failures, kCount, 3, "failed logins of one session before it is closed")                  \
  X(received_fields, kCount, 100, "RFC 5321 6.3: at least 100, so that only loops are caught")       \
  X(sessions, kCount, 20000, "at once over all listeners; further ones get 421")                   \
  X(sessions_per_address, kCount, 2000, "at once from one IP address; further ones get 421")       \
  X(command_timeout, kMilliseconds, 5 * kMinute, "RFC 5321 4.5.3.2.7: wait for a command")         \
  X(data_timeout, kMilliseconds, 3 * kMinute, "RFC 5321 4.5.3.2.5: wait for more of the message")  \
  X(message_timeout, kMilliseconds, 1 * kHour, "a whole message, however it trickles")             \
  X(tls_timeout, kMilliseconds, 30 * kSecond, "a TLS handshake")                                   \
  X(close_timeout, kMilliseconds, 5 * kSecond, "so long may a peer take to see our last reply")    \
  X(write_timeout, kMilliseconds, 3 * kMinute, "a peer that does not take our replies")            \
  X(stream_input, kOctets, 64 * kKiB, "read buffer of one connection")                             \
  X(stream_output, kOctets, 256 * kKiB, "write buffer of one connection; then reading stops")      \
  /* Logging in */                                                                                \
  X(login_backoff_after, kCount, 5, "failures of one address or user before the wait starts")      \
  X(login_backoff_first, kMilliseconds, 10 * kSecond, "the first wait; doubles with each failure") \
  X(login_backoff_longest, kMilliseconds, 15 * kMinute, "so that a mended server is not locked out")\
  X(login_backoff_entries, kCount, 100000, "addresses and users remembered; the oldest go first")  \
  /* Judgement */                                                                                 \
  X(dns_queries, kCount, 80, "of one message, all checks together; 54 of them may be for keys")     \
  X(dns_rounds, kCount, 30, "question rounds of one message; SPF includes need one each")          \
  X(dns_timeout, kMilliseconds, 10 * kSecond, "one question; then it counts as a temporary error") \
  X(judgement_timeout, kMilliseconds, 20 * kSecond, "RFC 7208 4.6.4 asks for at least 20 s")       \
  X(dkim_signatures, kCount, 10, "examined on one message; further ones are reported as policy")   \
  X(arc_sets, kCount, 50, "RFC 8617 4.2.1: a chain of more than 50 sets has failed")               \
  /* Accounts */                                                                                  \
  X(tenants, kCount, 100000, "of one installation")                                                \
  X(domains_per_tenant, kCount, 4, "product rule D7")                                              \
  X(addresses_per_domain, kCount, 50, "product rule D7")                                           \
  X(inbound_credentials_per_domain, kCount, 2, "product rule D3: old and new while rotating")      \
  X(credentials_per_tenant, kCount, 20, "the back end's, for sending out; one a sending system")   \
  X(dkim_keys_per_domain, kCount, 8, "old and new while rotating, one of each algorithm")          \
  X(accounts_map_size, kOctets, 4 * kGiB, "address space of the accounts' database, not memory")   \
  /* Queue */                                                                                     \
  X(commit_messages, kCount, 512, "of one group commit")                                           \
  X(commit_octets, kOctets, 64 * kMiB, "of one group commit")                                      \
  X(checkpoint_interval, kMilliseconds, 200, "between two commits of the queue's database; the journal keeps") \
  X(recent_octets, kOctets, 16 * kMiB, "new messages kept in memory, to leave without being read back") \
  X(pending_octets, kOctets, 256 * kMiB, "waiting for the disk; past it MAIL gets 452 4.3.1")      \
  X(segment_size, kOctets, 32 * kMiB, "a segment file is closed when it is this long")             \
  X(queue_map_size, kOctets, 64 * kGiB, "address space of the queue's database, not memory")       \
  X(queue_list, kCount, 1000, "rows of one answer of `queue list`")                                \
  X(queue_window, kCount, 1000, "waiting deliveries of a destination in memory; others are on disk") \
  X(queue_windows, kCount, 100000, "the same for all smarthosts, and for all back ends; 200 octets each") \
  /* Loops (product rule A5) */                                                                    \
  X(loop_pair_messages, kCount, 20, "from one sender to one address in loop_pair_window")          \
  X(loop_pair_window, kMilliseconds, 1 * kHour, "people do not write that often; machines do")     \
  X(loop_pairs, kCount, 100000, "pairs of sender and address remembered; the oldest go first")     \
  X(partners, kCount, 100, "partner addresses and domains of one tenant or domain")                \
  X(report_size, kOctets, 256 * kKiB, "of an incoming delivery report that is read as one")        \
  X(bounce_original, kOctets, 1 * kMiB, "RET=FULL: a longer message is returned by its header only") \
  /* SMTP out (RFC 5321 4.5.3.2) */                                                               \
  X(connect_timeout, kMilliseconds, 30 * kSecond, "TCP connect to one address of a smarthost")     \
  X(greeting_timeout, kMilliseconds, 5 * kMinute, "RFC 5321 4.5.3.2.1")                            \
  X(reply_timeout, kMilliseconds, 5 * kMinute, "RFC 5321 4.5.3.2.2 and .3: MAIL and RCPT")         \
  X(data_reply_timeout, kMilliseconds, 2 * kMinute, "RFC 5321 4.5.3.2.4: the 354")                 \
  X(data_end_timeout, kMilliseconds, 10 * kMinute, "RFC 5321 4.5.3.2.6: the reply to the dot")     \
  X(reply_line, kOctets, 4096, "a line of a smarthost's reply; RFC 5321 allows 512")               \
  X(reply_lines, kCount, 128, "lines of one reply")                                                \
  X(smarthost_connections_total, kCount, 1024, "at once to all smarthosts; dead ones get half of it")\
  X(pipelined_content, kOctets, 128 * kKiB, "a message up to this goes along with its envelope where BDAT is offered; 0: none does") \
  X(smarthost_idle, kMilliseconds, 2 * kSecond, "a connection without mail waits so long, then QUIT")\
  X(smarthost_connections, kCount, 64, "upper bound of a smarthost's `connections`")               \
  /* Tickets */                                                                                   \
  X(http_connect_timeout, kMilliseconds, 10 * kSecond, "TCP and TLS to a back end")                \
  X(http_timeout, kMilliseconds, 60 * kSecond, "without progress; then the attempt has failed")    \
  X(http_connections, kCount, 8, "at once to one back end")                                        \
  X(http_connections_total, kCount, 1024, "at once to all back ends; failing ones get half of it") \
  X(http_response, kOctets, 64 * kKiB, "of a back end's answer that is read at all")               \
  X(ticket_text, kOctets, 1 * kMiB, "of each of `text` and `html` in a ticket; the raw has all")   \
  X(ticket_parts, kCount, 1000, "MIME parts looked at in one message")                             \
  /* Administration */                                                                            \
  X(admin_request, kOctets, 4 * kMiB, "body of an admin API request")                              \
  X(admin_timeout, kMilliseconds, 30 * kSecond, "an admin connection without progress")            \
  X(stop_timeout, kMilliseconds, 10 * kSecond, "SIGTERM: replies in flight may take this long")
// clang-format on

struct Limits {
#define RELAYD_LIMIT_FIELD(name, unit, value, why) std::int64_t name = value;
  RELAYD_LIMITS(RELAYD_LIMIT_FIELD)
#undef RELAYD_LIMIT_FIELD
};

// One row of the table, for the configuration parser and the reference page.
struct LimitRow {
  std::string_view name;
  Unit unit;
  std::int64_t standard;  // the default
  std::string_view why;
  std::int64_t Limits::*field;
};
const std::vector<LimitRow>& limit_table();

}  // namespace base

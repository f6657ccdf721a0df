// The parts of a message as a ticket shows them: its header fields, the text and HTML that people
// read, and a list of what is attached. The message is pushed through in pieces and never kept:
// memory is bounded by the limits (header_size, ticket_text, ticket_parts) whatever the size, the
// nesting or the brokenness of the message. It never fails: hostile or broken MIME gives what can
// be made out of it.
//
// The walk over the structure is ours because GMime's parser builds a tree of all parts (a message
// of 50 MB can hold ten million) and keeps every part's header; GMime does the reading of fields,
// encodings and charsets (mime_text.h). RFC 2045, 2046. One message, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/limits.h"
#include "relayd/tickets/mime_text.h"

namespace tickets {

struct Attachment {
  std::optional<std::string> name;
  std::string content_type;
  std::uint64_t size = 0;  // decoded octets
};

struct MimeParts {
  // Of the message itself, in order: name as written, body unfolded, both valid UTF-8.
  std::vector<std::pair<std::string, std::string>> headers;
  ContentType content_type;
  // The parts meant for reading, joined where there are several (RFC 2046 5.1.3: mixed).
  std::optional<std::string> text, html;
  bool text_truncated = false;  // text, html or the list of parts is not whole
  std::vector<Attachment> attachments;

  // The first field of that name, without case.
  [[nodiscard]] const std::string* find(std::string_view name) const;
};

class MimeWalk {
 public:
  explicit MimeWalk(const base::Limits& limits);
  void feed(std::string_view piece);
  // The message's own header section is complete.
  [[nodiscard]] bool header_done() const { return !top_; }
  // No more is to come. Call once.
  MimeParts finish();

 private:
  struct Multipart {
    std::string delimiter;  // "--" and the boundary
    bool alternative;
    bool digest;
  };
  enum class Stage { kHeader, kBody, kDone };

  void take_line(std::string_view line, bool whole);
  void header_piece(std::string_view piece, bool whole);
  void end_of_header();
  void add_field();
  void body_piece(std::string_view piece, bool whole);
  bool delimiter_line(std::string_view line);
  void deliver(std::string_view piece);
  void sink(std::string_view encoded);
  void begin_part();
  void end_part();

  const base::Limits& limits_;
  MimeParts out_;
  Stage stage_ = Stage::kHeader;
  std::vector<Multipart> open_;
  std::int64_t parts_ = 1;

  // Header section in hand.
  bool top_ = true;    // the message's own, not a part's
  std::string line_;   // the line in hand, as far as it is kept
  std::string field_;  // the field in hand with its continuations
  std::size_t header_octets_ = 0;
  std::string type_field_, encoding_field_, disposition_field_;

  // Part in hand.
  bool leaf_ = false;  // its octets are wanted
  enum class Role { kAttachment, kText, kHtml } role_ = Role::kAttachment;
  ContentType type_;
  std::optional<TransferDecoder> decoder_;
  Attachment attachment_;
  std::string collected_;    // decoded octets of a text
  bool passing_ = false;     // the line in hand is known to be no delimiter
  std::string end_of_line_;  // held back: belongs to the delimiter that may follow
};

}  // namespace tickets

// DATA and BDAT of the server machine. A chunk is always read to its end, whatever is wrong, since
// only so the next command is found (RFC 3030 section 2).
#include <algorithm>
#include <string>

#include "core/smtp/command_parser.h"
#include "core/smtp/server_state.h"

namespace smtp {

using State = ServerMachine::State;

void State::begin_content(DataReader::Framing framing) {
  reader = DataReader(framing, static_cast<std::uint64_t>(limits.body_line),
                      static_cast<std::uint64_t>(limits.message_size));
}

Reply State::content_refusal(ContentFault fault) const {
  return fault_reply(fault, static_cast<std::uint64_t>(limits.body_line),
                     static_cast<std::uint64_t>(limits.message_size));
}

// ---- DATA ---------------------------------------------------------------------------------------

void State::data(std::string_view argument) {
  if (!argument.empty()) return refuse(501, "5.5.4", "DATA takes no parameters");
  events.push_back(DataStart{});
  question = Question::kData;
}

// RFC 3030 section 2: the state after the mixture is indeterminate until RSET.
void State::mixed(std::string_view) {
  drop_transaction();
  phase = Phase::kFailed;
  refuse(503, "5.5.1", "DATA and BDAT must not be mixed in one message; say RSET");
}

Step State::read_data(std::span<char> input, std::size_t used) {
  const DataReader::Piece piece = reader.read(input.subspan(used));
  used += piece.used;
  if (piece.end) {
    mode = Mode::kCommand;
    if (reader.fault() == ContentFault::kNone) {
      events.push_back(ContentEnd{});
      question = Question::kContentEnd;
    } else {
      send(content_refusal(reader.fault()));
      drop_transaction();
    }
  }
  if (piece.content.empty()) return {NeedInput{}, used};
  return {Content{piece.content}, used};
}

// ---- BDAT ---------------------------------------------------------------------------------------

bool State::begin_chunk(std::string_view argument) {
  const BdatArgument parsed = parse_bdat(argument);
  if (!parsed.octets) {
    // What follows cannot be told from commands.
    fail({501, "5.5.4", "Syntax: BDAT octets [LAST]; closing the connection"},
         "BDAT without a size");
    return false;
  }
  chunk.remaining = *parsed.octets;
  chunk.last = parsed.last;
  chunk.swallow = false;
  chunk.counts = true;
  if (!parsed.malformed) return true;
  const Reply refusal{501, "5.5.4", "Syntax: BDAT octets [LAST]"};
  if (phase == Phase::kRcpt || phase == Phase::kBdat)
    fail_bdat(refusal);
  else
    swallow_chunk(refusal);
  return false;
}

void State::swallow_chunk(const Reply& refusal) {
  chunk.swallow = true;
  chunk.refusal = refusal;
  mode = Mode::kChunk;
  if (chunk.remaining == 0) chunk_done();
}

void State::fail_bdat(const Reply& refusal) {
  drop_transaction();
  if (!chunk.last) phase = Phase::kFailed;
  chunk.counts = false;
  swallow_chunk(refusal);
}

void State::bdat(std::string_view argument) {
  if (!begin_chunk(argument)) return;
  const auto size_max = static_cast<std::uint64_t>(limits.message_size);
  const std::uint64_t size = phase == Phase::kBdat ? reader.size() : 0;
  if (chunk.remaining > size_max - size) return fail_bdat(content_refusal(ContentFault::kTooLarge));
  if (phase == Phase::kBdat) {
    mode = Mode::kChunk;
    if (chunk.remaining == 0) chunk_done();
    return;
  }
  events.push_back(DataStart{});
  question = Question::kBdat;
}

void State::lone_bdat(std::string_view argument) {
  if (!begin_chunk(argument)) return;
  chunk.counts = !mail_refused && !recipient_refused;
  if (phase == Phase::kFresh) return swallow_chunk({503, "5.5.1", "Say EHLO first"});
  if (phase == Phase::kReady) return swallow_chunk({503, "5.5.1", "Say MAIL first"});
  swallow_chunk(no_recipients());
}

// The chunks that were under way when one of them failed; the last of them ends the message.
void State::late_bdat(std::string_view argument) {
  if (!begin_chunk(argument)) return;
  if (chunk.last) phase = Phase::kReady;
  chunk.counts = false;
  swallow_chunk({503, "5.5.1",
                 chunk.last ? "The message was refused before; its last chunk is ignored"
                            : "The message was refused before; say RSET"});
}

Step State::read_chunk(std::span<char> input, std::size_t used) {
  const auto size =
      static_cast<std::size_t>(std::min<std::uint64_t>(chunk.remaining, input.size() - used));
  const std::span<char> bytes = input.subspan(used, size);
  const std::span<char> content = chunk.swallow ? std::span<char>{} : reader.read(bytes).content;
  used += size;
  chunk.remaining -= size;
  if (chunk.remaining == 0) chunk_done();
  if (content.empty()) return {NeedInput{}, used};
  return {Content{content}, used};
}

void State::chunk_done() {
  mode = Mode::kCommand;
  if (chunk.swallow) {
    if (chunk.counts)
      refuse(chunk.refusal);
    else
      send(chunk.refusal);
    if (chunk.refusal.code == 421) close("421 from the server");
    return;
  }
  if (chunk.last) reader.finish();
  if (reader.fault() != ContentFault::kNone) {
    chunk.remaining = 0;
    return fail_bdat(content_refusal(reader.fault()));
  }
  if (!chunk.last) {
    phase = Phase::kBdat;
    send({250, "2.0.0", "Chunk taken"});
    return;
  }
  events.push_back(ContentEnd{});
  question = Question::kContentEnd;
}

}  // namespace smtp

#include "queue/compaction.h"

#include <algorithm>
#include <utility>

#include "core/base/log.h"
#include "queue/codec.h"
#include "queue/content.h"

namespace queue {
namespace {

// Of one step. Together they cost about as much as a group commit.
constexpr std::size_t kRowsMax = 2048;
constexpr std::size_t kSurvivorsMax = 512;
constexpr std::uint64_t kOctetsMax = 2 * base::kMiB;
// After a step, the committer has four times as long for the mail.
constexpr int kPauseFactor = 4;
constexpr std::uint64_t kSparse = 4;  // less than one in so many octets lives
// Living octets of one sweep: the room that the copies take before anything is given back.
constexpr std::uint64_t kLivingMax = 64 * base::kMiB;

}  // namespace

void Compactor::note(const Changes& changes) {
  for (const auto& [number, use] : changes.usage) {
    const auto& emptied = changes.emptied;
    if (std::find(emptied.begin(), emptied.end(), number) != emptied.end()) continue;
    died_ -= std::min<std::int64_t>(use.octets, 0);
  }
  // A sweep reads the whole table of messages: it must be worth that.
  if (phase_ != Phase::kNone || died_ < limits_.segment_size) return;
  phase_ = Phase::kSurvey;
  died_ = 0;
}

std::optional<Compactor::Clock::time_point> Compactor::due() const {
  if (phase_ == Phase::kNone) return std::nullopt;
  return next_step_;
}

std::vector<Survivor> Compactor::next(std::optional<std::uint64_t> active) {
  step_began_ = Clock::now();
  if (phase_ == Phase::kSurvey) survey(active);
  if (phase_ == Phase::kCollect) return collect();
  return {};
}

void Compactor::step_done() {
  const Clock::time_point now = Clock::now();
  next_step_ = now + kPauseFactor * (now - step_began_);
}

void Compactor::give_up() { finish(); }

void Compactor::finish() {
  phase_ = Phase::kNone;
  at_.clear();
  sparse_.clear();
  sparse_octets_ = sparse_living_ = 0;
}

// Only segments that have a row are looked at: others are being written by sessions.
void Compactor::survey(std::optional<std::uint64_t> active) {
  const Txn txn(environment_, Txn::Mode::kRead);
  Cursor cursor(txn, Table::kSegment);
  bool more = cursor.seek(at_);
  if (more && !at_.empty() && cursor.key() == at_) more = cursor.next();
  for (std::size_t row = 0; more && row < kRowsMax; ++row, more = cursor.next()) {
    at_ = cursor.key();
    const auto number = parse_segment_key(cursor.key());
    const auto use = decode_segment(cursor.value());
    if (!number || !use || number == active || damaged_.contains(*number)) continue;
    // One large message: a segment of its own, which is alive as a whole.
    if (use->messages == 1 && use->octets > limits_.body_memory) continue;
    const auto living = static_cast<std::uint64_t>(std::max<std::int64_t>(use->octets, 0));
    const std::uint64_t size = segments_.file_size(*number);
    if (living >= size / kSparse || sparse_living_ + living > kLivingMax ||
        !segments_.has_room(sparse_living_ + living)) {
      continue;
    }
    sparse_.insert(*number);
    sparse_octets_ += size;
    sparse_living_ += living;
  }
  if (more) return;
  at_.clear();
  const auto worth = static_cast<std::uint64_t>(limits_.segment_size);
  if (sparse_octets_ - sparse_living_ < worth) return finish();
  phase_ = Phase::kCollect;
}

std::vector<Survivor> Compactor::collect() {
  std::vector<Survivor> survivors;
  std::uint64_t octets = 0;
  const Txn txn(environment_, Txn::Mode::kRead);
  Cursor cursor(txn, Table::kMessage);
  bool more = cursor.seek(at_);
  if (more && !at_.empty() && cursor.key() == at_) more = cursor.next();
  for (std::size_t row = 0; more && row < kRowsMax; ++row, more = cursor.next()) {
    if (survivors.size() >= kSurvivorsMax || octets >= kOctetsMax) return survivors;
    at_ = cursor.key();
    const auto body = decode_body(cursor.value());
    const auto id = base::Id::from_key(cursor.key());
    if (!body || !id || !sparse_.contains(body->segment)) continue;
    auto message = decode_message(*id, cursor.value());
    auto survivor = message ? read(*std::move(message)) : std::nullopt;
    if (!survivor) {
      damaged_.insert(body->segment);
      continue;
    }
    octets += survivor->bytes.size();
    survivors.push_back(*std::move(survivor));
  }
  if (!more) finish();
  return survivors;
}

std::optional<Survivor> Compactor::read(Message message) {
  Survivor survivor{std::move(message), {}};
  const BodyRef& body = survivor.message.body;
  auto file = segments_.find(body.segment);
  std::string why = file ? "" : file.message();
  if (file && body.size() > (*file)->size()) why = "it is longer than its segment file";
  if (why.empty()) {
    survivor.bytes.resize(body.size());
    const auto n = StoredReader(file.take(), body).read(0, survivor.bytes);
    if (!n) why = n.message();
  }
  if (why.empty()) return survivor;
  base::log_error("queue leaves a damaged message where it is",
                  {{"id", survivor.message.id.str()}, {"segment", body.segment}, {"reason", why}});
  return std::nullopt;
}

}  // namespace queue

#include "queue/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/log.h"
#include "queue/check.h"
#include "queue/committer.h"
#include "queue/recovery.h"
#include "queue/selection.h"
#include "queue/trail.h"

namespace queue {
namespace {

// What a waiting change costs in memory beside its texts.
constexpr std::int64_t kWorkOctets = 1024;
// Of one page of Store::select.
constexpr std::size_t kSelectRows = 256;
constexpr std::size_t kSelectRecords = 10'000;

base::Status make_directory(const std::string& path) {
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      return base::error("cannot make the directory " + part + ": " + std::strerror(errno));
    }
    if (at == std::string::npos) return base::Ok{};
  }
}

// So that the names of a database that was just made survive power loss too.
base::Status sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) close(fd);
  if (synced) return base::Ok{};
  return base::error("cannot sync the directory " + path + ": " + std::strerror(code));
}

std::int64_t octets_of(const NewMessage& message) {
  const Message& m = message.message;
  return kWorkOctets +
         static_cast<std::int64_t>(message.prefix.size() + m.judgement.size() + m.details.size() +
                                   128 * m.envelope.recipients.size());
}

template <typename Record>
std::shared_ptr<const Record> owned(std::optional<Record> found) {
  return found ? std::make_shared<const Record>(*std::move(found)) : nullptr;
}

}  // namespace

struct Store::Parts {
  StoreOptions options;
  std::unique_ptr<DirectoryLock> lock;
  std::unique_ptr<Environment> environment;
  std::shared_ptr<Pressure> pressure;
  std::shared_ptr<SegmentDirectory> segments;
  std::unique_ptr<RecentMessages> recent;
  std::unique_ptr<Committer> committer;  // last: ends first

  template <typename What>
  void enqueue(What what, OnDone on_done);
  void enqueue(std::unique_ptr<Work> work);
  // To read the tables as they are, with everything that was answered before.
  [[nodiscard]] Txn read() const {
    committer->catch_up();
    return Txn(*environment, Txn::Mode::kRead);
  }
};

Store::Store() : parts_(std::make_unique<Parts>()) {}
Store::~Store() = default;

base::Result<std::unique_ptr<Store>> Store::open(StoreOptions options) {
  const std::string directory = options.directory;
  if (auto made = make_directory(directory); !made) return made.error();
  if (auto local = check_file_system(directory); !local) return local.error();
  std::unique_ptr<Store> store(new Store);
  Parts& parts = *store->parts_;
  auto lock = DirectoryLock::take(directory);
  if (!lock) return lock.error();
  parts.lock = std::make_unique<DirectoryLock>(lock.take());
  auto environment =
      Environment::open(directory, static_cast<std::uint64_t>(options.limits->queue_map_size));
  if (!environment) return environment.error();
  parts.environment = environment.take();
  parts.environment->set_fault(options.fault);
  parts.pressure = std::make_shared<Pressure>(options.limits->pending_octets, options.metrics);
  auto segments =
      SegmentDirectory::open(directory + "/segments", parts.environment->uuid(), options.fault);
  if (!segments) return segments.error();
  parts.segments = segments.take();
  auto recovered = recover(*parts.environment, *parts.segments);
  if (!recovered) return recovered.error();
  for (const std::string& path : {directory, directory + "/.."}) {
    if (auto synced = sync_directory(path); !synced) return synced.error();
  }
  std::uint64_t messages = 0;
  {
    const Txn txn(*parts.environment, Txn::Mode::kRead);
    messages = txn.count(Table::kMessage);
  }
  parts.options = std::move(options);
  parts.recent = std::make_unique<RecentMessages>(parts.options.limits->recent_octets);
  parts.committer = std::make_unique<Committer>(
      Committer::Needs{*parts.environment, parts.segments, parts.pressure, *parts.recent,
                       *parts.options.limits, *parts.options.clock, parts.options.metrics,
                       parts.options.trail_keep_ms},
      recovered.take(), messages);
  return store;
}

void Store::Parts::enqueue(std::unique_ptr<Work> owned) {
  Work& work = *owned;
  std::vector<NewMessage>* also = nullptr;
  std::span<NewMessage> messages;
  if (auto* message = std::get_if<NewMessage>(&work.what)) messages = {message, 1};
  if (auto* update = std::get_if<DeliveryUpdate>(&work.what)) also = &update->also;
  if (also != nullptr) messages = *also;
  std::int64_t octets = kWorkOctets;
  for (NewMessage& message : messages) {
    octets += octets_of(message);
    work.octets += message.prefix.size();
    auto* content = static_cast<StoredContent*>(message.content.get());
    if (content == nullptr) continue;
    work.octets += content->size();
    const Failure failure = content->finish();
    if (work.answer == Failure::kNone) work.answer = failure;
  }
  // Updates are few for every message and must not be lost; new messages can come again.
  if (pressure->is_flooded() && std::holds_alternative<NewMessage>(work.what)) {
    work.answer = Failure::kBusy;
  }
  work.answered_early = work.answer != Failure::kNone;
  if (work.answered_early) {
    work.what = Work::Refused{};
    work.octets = 0;
  } else {
    work.charge = Charge(pressure);
    work.charge.set(octets);
  }
  committer->submit(std::move(owned));
}

template <typename What>
void Store::Parts::enqueue(What what, OnDone on_done) {
  auto work = std::make_unique<Work>();
  work->what = std::move(what);
  work->on_done = std::move(on_done);
  enqueue(std::move(work));
}

std::unique_ptr<Content> Store::begin_content(std::uint64_t octets_expected) {
  return std::make_unique<StoredContent>(
      parts_->segments, parts_->pressure,
      static_cast<std::uint64_t>(parts_->options.limits->body_memory), octets_expected);
}

std::shared_ptr<void> Store::expect() { return parts_->committer->expect(); }

void Store::submit(NewMessage message, OnDone on_done) {
  parts_->enqueue(std::move(message), std::move(on_done));
}

void Store::update(DeliveryUpdate update, OnDone on_done) {
  parts_->enqueue(std::move(update), std::move(on_done));
}

void Store::retry(const base::Id& id, OnDone on_done) {
  parts_->enqueue(OperatorOrder{Order::kRetry, id, {}, {}}, std::move(on_done));
}

void Store::hold(const base::Id& id, std::string reason, OnDone on_done) {
  parts_->enqueue(OperatorOrder{Order::kHold, id, {}, std::move(reason)}, std::move(on_done));
}

void Store::release(const base::Id& id, OnDone on_done) {
  parts_->enqueue(OperatorOrder{Order::kRelease, id, {}, {}}, std::move(on_done));
}

void Store::remove(const base::Id& id, OnDone on_done) {
  parts_->enqueue(OperatorOrder{Order::kRemove, id, {}, {}}, std::move(on_done));
}

void Store::order(Order order, const DeliveryName& delivery, std::string reason, OnDone on_done) {
  parts_->enqueue(OperatorOrder{order, delivery.id, delivery.index, std::move(reason)},
                  std::move(on_done));
}

void Store::on_waiting(OnWaiting callback) { parts_->committer->on_waiting(std::move(callback)); }

Health Store::health() const { return parts_->pressure->health(); }

std::shared_ptr<const Message> Store::find(const base::Id& id) const {
  if (const auto recent = parts_->recent->find(id)) {
    return recent->is_gone ? nullptr : std::shared_ptr<const Message>(recent, &recent->message);
  }
  const Txn txn(*parts_->environment, Txn::Mode::kRead);
  return owned(find_message(txn, id));
}

std::vector<Delivery> Store::deliveries(const base::Id& id) const {
  if (const auto recent = parts_->recent->find(id)) return recent->deliveries;
  const Txn txn(*parts_->environment, Txn::Mode::kRead);
  return find_deliveries(txn, id);
}

std::shared_ptr<const Delivery> Store::delivery(const base::Id& id, std::uint32_t index) const {
  if (const auto recent = parts_->recent->find(id)) {
    for (const Delivery& delivery : recent->deliveries) {
      if (delivery.index == index) return {recent, &delivery};
    }
    return nullptr;
  }
  const Txn txn(*parts_->environment, Txn::Mode::kRead);
  return owned(find_delivery(txn, id, index));
}

base::Result<std::unique_ptr<ContentReader>> Store::open_content(const Message& message) const {
  if (auto recent = parts_->recent->find(message.id); recent && recent->has_bytes) {
    return std::unique_ptr<ContentReader>(std::make_unique<RecentReader>(std::move(recent)));
  }
  BodyRef body = message.body;
  for (;;) {
    auto file = parts_->segments->find(body.segment);
    if (file)
      return std::unique_ptr<ContentReader>(std::make_unique<StoredReader>(file.take(), body));
    // Its bytes may have been copied forward since the message was looked up.
    const auto now = find(message.id);
    if (!now || now->body.segment == body.segment) return file.error();
    body = now->body;
  }
}

Listing Store::list(const Filter& filter) const {
  const Txn txn = parts_->read();
  const auto most = static_cast<std::size_t>(parts_->options.limits->queue_list);
  return list_deliveries(txn, filter, std::min(filter.rows_max, most));
}

Selection Store::select(const Filter& filter, const std::optional<DeliveryName>& after) const {
  const Txn txn = parts_->read();
  return select_deliveries(txn, filter, after, kSelectRows, kSelectRecords);
}

CheckReport Store::check(const std::function<bool(std::uint64_t)>& progress) const {
  parts_->committer->catch_up();
  return check_queue(*parts_->environment, *parts_->segments, progress);
}

std::vector<TrailStep> Store::trail(const base::Id& id) const {
  const Txn txn = parts_->read();
  return find_trail(txn, id);
}

std::vector<base::Id> Store::find_by_term(std::string_view term, std::size_t ids_max) const {
  const Txn txn = parts_->read();
  return queue::find_by_term(txn, term, ids_max);
}

std::uint64_t Store::count_before(const Delivery& delivery, std::uint64_t most) const {
  const Txn txn = parts_->read();
  return count_deliveries_before(txn, delivery, most);
}

Store::DuePage Store::due(const std::string& destination, const std::optional<Due>& after,
                          std::size_t rows_max) const {
  const bool has_all = parts_->committer->catch_up();
  const Txn txn(*parts_->environment, Txn::Mode::kRead);
  DuePage page = list_due(txn, destination, after, rows_max);
  page.complete = page.complete && has_all;
  return page;
}

base::Result<std::vector<Store::Destination>> Store::destinations() const {
  const Txn txn = parts_->read();
  auto found = list_destinations(txn);
  if (txn.error() == 0) return found;
  return base::error(std::string("the queue's database cannot be read: ") +
                     mdb_strerror(txn.error()));
}

std::uint64_t Store::message_count() const { return parts_->committer->message_count(); }

}  // namespace queue

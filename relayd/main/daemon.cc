#include "relayd/main/daemon.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "certs/sealer.h"
#include "core/base/bytes.h"
#include "core/base/worker_pool.h"
#include "policy/header_guard.h"
#include "relayd/admin/server.h"
#include "relayd/egress/scheduler.h"
#include "relayd/ingress/ingress.h"
#include "relayd/tickets/hand_off.h"

namespace relayd {
namespace {

constexpr rlim_t kDescriptorsKept = 4096;
constexpr std::size_t kSentIdsMax = 20;  // messages of one Message-ID that are looked at

// A part that could not be made is a reason not to start.
template <typename T>
T need(base::Result<T> result) {
  if (!result) throw std::runtime_error(result.message());
  return result.take();
}

// A loop with its thread and resolver.
struct LoopThread {
  LoopThread(const configuration::Configuration& c, std::string called)
      : name(std::move(called)),
        resolver(need(dns::make_unbound_resolver(loop, {c.dns.servers, c.limits.dns_timeout}))) {}
  ~LoopThread() { stop(); }

  void start() {
    thread = std::thread([this] { loop.run(); });
    pthread_setname_np(thread.native_handle(), name.c_str());
  }
  void stop() {
    if (!thread.joinable()) return;
    loop.stop();
    thread.join();
  }

  const std::string name;  // as top and perf show it, at most 15 letters
  net::Loop loop;
  std::unique_ptr<dns::Resolver> resolver;
  std::thread thread;
};

std::shared_ptr<const ingress::Settings> ingress_settings(const configuration::Configuration& c,
                                                          certs::TlsContext tls) {
  auto settings = std::make_shared<ingress::Settings>();
  settings->judgement = c.judgement;
  settings->hostname = c.hostname;
  settings->limits = c.limits;
  settings->tls = std::move(tls);
  settings->expire_ms = c.queue.expire_ms;
  settings->verification_required = c.verification.required;
  settings->marker_headers = c.outbound.marker_headers;
  settings->protected_fields = policy::protected_fields(c.outbound.marker_headers);
  return settings;
}

std::shared_ptr<const egress::Settings> egress_settings(const configuration::Configuration& c,
                                                        certs::TlsContext tls) {
  auto settings = std::make_shared<egress::Settings>();
  settings->hostname = c.hostname;
  settings->limits = c.limits;
  settings->tls = std::move(tls);
  settings->retry_ms = c.queue.retry_ms;
  return settings;
}

certs::TlsContext server_tls(const configuration::Configuration& c) {
  if (c.tls.certificate.empty()) return nullptr;
  return need(certs::make_server_context(c.tls.certificate, c.tls.key, "relayd/" + c.hostname));
}

// As many files as may be had. A quarter of them is not for sessions, so that a crowd at the door
// never keeps the queue from its files, nor mail from going out: the first number of that quarter.
int raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return INT_MAX;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t kept = std::min<rlim_t>(limit.rlim_cur / 4, kDescriptorsKept);
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur - kept, INT_MAX));
}

void make_private_directory(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw std::runtime_error("cannot make " + path + ": " + error.message());
  fs::permissions(path, fs::perms::owner_all, error);
}

int signal_fd() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);  // before threads start: they inherit it
  std::signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

}  // namespace

// Members are destroyed from the last to the first: threads and rooms before what they stand on.
struct Daemon::State {
  State(configuration::Configuration configuration, std::string path)
      : c(std::move(configuration)), configuration_path(std::move(path)) {}

  void open();
  void listen();
  void start_admin();
  void ask_why(const std::string& destination, const queue::DeliveryName& name,
               std::function<void(queue::Hindrance)> answer);
  void load_due();
  [[nodiscard]] std::optional<std::string> find_sent(const std::string& tenant,
                                                     const std::string& message_id) const;
  void route_waiting(const queue::Store::Waiting& waiting);
  void accounts_changed(const policy::AccountsSnapshot& accounts);
  void reload();
  void stop();
  void on_signal();

  configuration::Configuration c;
  const std::string configuration_path;
  const int signals = signal_fd();
  base::SystemClock clock;
  base::DueClock due_clock{clock};
  base::Metrics metrics;
  base::IdGenerator ids{clock};
  std::unique_ptr<certs::Sealer> sealer;
  std::unique_ptr<policy::AccountStore> accounts;
  std::unique_ptr<policy::LoginService> logins;
  std::shared_ptr<dkim::Library> dkim;
  std::unique_ptr<ingress::SessionCensus> census;
  std::unique_ptr<policy::PairRate> pairs;
  net::Loop main_loop;
  std::unique_ptr<dns::Resolver> main_resolver;
  std::vector<std::unique_ptr<LoopThread>> smtp_loops;
  std::unique_ptr<LoopThread> egress_loop, tickets_loop;
  std::unique_ptr<queue::Store> store;  // its callbacks post to the loops above
  std::vector<std::unique_ptr<ingress::Ingress>> ingresses;
  std::unique_ptr<egress::Scheduler> scheduler;
  std::unique_ptr<tickets::HandOff> hand_off;
  std::unique_ptr<base::WorkerPool> crypto;  // its tasks post to the loops
  std::unique_ptr<admin::AdminServer> admin_server;
  std::unique_ptr<net::FdWatch> signal_watch;
  int descriptor_max = 0;
  bool ready = false;
  bool stopping = false;
};

Daemon::Daemon(configuration::Configuration configuration, std::string configuration_path)
    : state_(std::make_unique<State>(std::move(configuration), std::move(configuration_path))) {
  state_->open();
  state_->listen();
  state_->start_admin();
}

Daemon::~Daemon() = default;

void Daemon::State::open() {
  descriptor_max = raise_file_limit();
  make_private_directory(c.state_dir);
  sealer = std::make_unique<certs::Sealer>(need(certs::Sealer::open(c.state_dir + "/secrets")));
  policy::AccountStoreOptions account_options;
  account_options.directory = c.state_dir + "/accounts";
  account_options.sealer = sealer.get();
  account_options.limits = &c.limits;
  account_options.clock = &clock;
  account_options.digest_key = sealer->derive("credential");
  account_options.hostname = c.hostname;
  accounts = need(policy::AccountStore::open(std::move(account_options)));
  logins = need(policy::LoginService::open(*accounts, clock, c.limits));
  dkim = need(dkim::Library::open());
  census = std::make_unique<ingress::SessionCensus>(metrics);
  main_resolver =
      need(dns::make_unbound_resolver(main_loop, {c.dns.servers, c.limits.dns_timeout}));
  pairs = std::make_unique<policy::PairRate>(c.limits);
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  const std::size_t loops = c.loops > 0 ? static_cast<std::size_t>(c.loops) : cores;
  for (std::size_t i = 0; i < loops; ++i) {
    smtp_loops.push_back(std::make_unique<LoopThread>(c, "smtp-" + std::to_string(i)));
  }
  egress_loop = std::make_unique<LoopThread>(c, "smarthosts");
  tickets_loop = std::make_unique<LoopThread>(c, "back-ends");
  queue::StoreOptions queue_options;
  queue_options.directory = c.state_dir + "/queue";
  queue_options.limits = &c.limits;
  queue_options.clock = &due_clock;
  queue_options.metrics = &metrics;
  queue_options.trail_keep_ms = c.queue.trail_ms;
  store = need(queue::Store::open(std::move(queue_options)));
  crypto = std::make_unique<base::WorkerPool>(std::max(std::min<std::size_t>(cores, 2), cores / 2));

  egress::Workplace outward;
  outward.loop = &egress_loop->loop;
  outward.resolver = egress_loop->resolver.get();
  outward.store = store.get();
  outward.accounts = accounts.get();
  outward.ids = &ids;
  outward.clock = &due_clock;
  outward.metrics = &metrics;
  scheduler = std::make_unique<egress::Scheduler>(
      outward, egress_settings(c, need(certs::make_client_context(c.tls.trust))));

  tickets::HandOffOptions options;
  options.loop = &tickets_loop->loop;
  options.store = store.get();
  options.accounts = accounts.get();
  options.clock = &due_clock;
  options.wall_clock = &clock;
  options.limits = &c.limits;
  options.metrics = &metrics;
  options.resolver = tickets_loop->resolver.get();
  options.retry_ms = c.queue.retry_ms;
  options.trust_paths = c.tls.trust;
  options.marker_headers = c.outbound.marker_headers;
  hand_off = std::make_unique<tickets::HandOff>(options);

  store->on_waiting([this](const queue::Store::Waiting& waiting) { route_waiting(waiting); });
  accounts->on_change(
      [this](const policy::AccountsSnapshot& snapshot) { accounts_changed(snapshot); });
}

void Daemon::State::listen() {
  const auto settings = ingress_settings(c, server_tls(c));
  for (const auto& smtp : smtp_loops) {
    ingress::Workplace inward;
    inward.loop = &smtp->loop;
    inward.resolver = smtp->resolver.get();
    inward.store = store.get();
    inward.accounts = accounts.get();
    inward.logins = logins.get();
    inward.dkim = dkim;
    inward.ids = &ids;
    inward.crypto = crypto.get();
    inward.census = census.get();
    inward.pairs = pairs.get();
    inward.sent_key = sealer->derive("sent");
    inward.find_sent = [this](const std::string& tenant, const std::string& message_id) {
      return find_sent(tenant, message_id);
    };
    inward.clock = &clock;
    inward.due_clock = &due_clock;
    inward.descriptor_max = descriptor_max;
    inward.metrics = &metrics;
    ingresses.push_back(std::make_unique<ingress::Ingress>(inward, settings));
    for (const auto& listener : c.listeners) {
      if (const auto open = ingresses.back()->listen(listener); !open) {
        throw std::runtime_error("cannot listen on " + listener.address + ": " + open.message());
      }
    }
  }
}

// As the trail remembers it (decision 0024). Any thread.
std::optional<std::string> Daemon::State::find_sent(const std::string& tenant,
                                                    const std::string& message_id) const {
  for (const base::Id& id : store->find_by_term(message_id, kSentIdsMax)) {
    const auto steps = store->trail(id);
    if (steps.empty() || !steps.front().origin) continue;
    const queue::TrailOrigin& origin = *steps.front().origin;
    if (origin.kind == queue::Kind::kOutbound && origin.tenant == tenant &&
        base::trim(origin.message_id) == base::trim(message_id)) {
      return id.str();
    }
  }
  return std::nullopt;
}

void Daemon::State::start_admin() {
  admin::AdminOptions options;
  options.loop = &main_loop;
  options.accounts = accounts.get();
  options.store = store.get();
  options.metrics = &metrics;
  options.resolver = main_resolver.get();
  options.clock = &clock;
  options.limits = &c.limits;
  options.socket = c.admin.socket;
  options.listen = c.admin.listen;
  options.token_file = c.admin.token_file;
  options.hostname = c.hostname;
  options.version = RELAYD_VERSION;
  options.ready = [this] { return ready; };
  options.paused_backends = [this] {
    std::map<std::string, admin::PausedBackend> out;
    for (auto& [tenant, one] : hand_off->paused()) {
      out[tenant] = {one.refused ? "refused" : "unavailable", one.since_ms, one.next_probe_ms,
                     one.reply};
    }
    return out;
  };
  options.trail_keep_ms = c.queue.trail_ms;
  options.why = [this](const std::string& destination, const queue::DeliveryName& name,
                       std::function<void(queue::Hindrance)> answer) {
    ask_why(destination, name, std::move(answer));
  };
  options.resume_backend = [this](const std::string& tenant) {
    const bool was_paused = hand_off->paused().contains(tenant);  // before that ends
    tickets_loop->loop.post([this, tenant] { hand_off->resume(tenant); });
    return was_paused;
  };
  admin_server = need(admin::AdminServer::open(std::move(options)));
}

void Daemon::State::route_waiting(const queue::Store::Waiting& waiting) {
  if (waiting.destination.starts_with(egress::kDestinationPrefix)) {
    egress_loop->loop.post([this, waiting] { scheduler->waiting(waiting); });
  } else {
    tickets_loop->loop.post([this, waiting] { hand_off->waiting(waiting); });
  }
}

void Daemon::State::ask_why(const std::string& destination, const queue::DeliveryName& name,
                            std::function<void(queue::Hindrance)> answer) {
  if (destination.starts_with(egress::kDestinationPrefix)) {
    egress_loop->loop.post([this, destination, name, answer = std::move(answer)] {
      answer(scheduler->why(destination, {name.id, name.index}));
    });
  } else {
    tickets_loop->loop.post([this, destination, name, answer = std::move(answer)] {
      answer(hand_off->why(destination, name.id, name.index));
    });
  }
}

// Only who has mail waiting: the deliveries stay on disk until they are near their turn.
void Daemon::State::load_due() {
  const auto destinations = need(store->destinations());
  for (const queue::Store::Destination& destination : destinations) {
    if (destination.name.starts_with(egress::kDestinationPrefix)) {
      egress_loop->loop.post([this, name = destination.name] { scheduler->open(name); });
    } else {
      tickets_loop->loop.post([this, name = destination.name] { hand_off->open(name); });
    }
  }
  if (const std::uint64_t messages = store->message_count(); messages > 0) {
    base::log_info("queue loaded", {{"messages", messages}, {"destinations", destinations.size()}});
  }
}

void Daemon::State::accounts_changed(const policy::AccountsSnapshot& snapshot) {
  for (std::size_t i = 0; i < ingresses.size(); ++i) {
    smtp_loops[i]->loop.post(
        [ingress = ingresses[i].get(), snapshot] { ingress->accounts_changed(*snapshot); });
  }
  egress_loop->loop.post([this] { scheduler->accounts_changed(); });
  tickets_loop->loop.post([this] { hand_off->accounts_changed(); });
}

void Daemon::run() {
  State& s = *state_;
  s.signal_watch =
      std::make_unique<net::FdWatch>(s.main_loop, s.signals, [&s](bool, bool) { s.on_signal(); });
  s.signal_watch->want(true, false);
  s.load_due();
  for (const auto& smtp : s.smtp_loops) smtp->start();
  s.egress_loop->start();
  s.tickets_loop->start();
  s.ready = true;
  base::log_info("ready", {{"hostname", s.c.hostname}, {"version", RELAYD_VERSION}});
  sd_notify(0, "READY=1");
  s.main_loop.run();
  // Rooms are taken down by this thread: nothing may run on their loops any more.
  for (const auto& smtp : s.smtp_loops) smtp->stop();
  s.egress_loop->stop();
  s.tickets_loop->stop();
}

void Daemon::State::on_signal() {
  signalfd_siginfo info{};
  while (read(signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGHUP) {
      reload();
    } else if (!stopping) {
      stop();
    }
  }
}

// Certificates, trust, limits of sessions and retry times are taken anew; listeners, state_dir and
// loops need a restart. A mistake changes nothing.
void Daemon::State::reload() {
  auto loaded = configuration::load(configuration_path);
  for (const auto& problem : loaded.problems) {
    base::log_error("configuration not reloaded", {{"problem", problem.str()}});
  }
  if (!loaded.problems.empty()) return;
  std::shared_ptr<const ingress::Settings> inward;
  std::shared_ptr<const egress::Settings> outward;
  try {
    if (!c.tls.certificate.empty() && loaded.configuration.tls.certificate.empty()) {
      throw std::runtime_error("tls.certificate is gone, and the listeners that run need it");
    }
    inward = ingress_settings(loaded.configuration, server_tls(loaded.configuration));
    outward = egress_settings(loaded.configuration,
                              need(certs::make_client_context(loaded.configuration.tls.trust)));
  } catch (const std::runtime_error& error) {
    base::log_error("configuration not reloaded", {{"problem", error.what()}});
    return;
  }
  for (std::size_t i = 0; i < ingresses.size(); ++i) {
    smtp_loops[i]->loop.post([ingress = ingresses[i].get(), inward] { ingress->use(inward); });
  }
  egress_loop->loop.post([this, outward] { scheduler->use(outward); });
  base::log_info("configuration reloaded");
}

// Replies in flight finish, the rest stays in the queue.
void Daemon::State::stop() {
  stopping = true;
  ready = false;
  base::log_info("stopping");
  sd_notify(0, "STOPPING=1");
  auto left = std::make_shared<std::size_t>(ingresses.size() + 2);
  const auto done = [this, left] {
    main_loop.post([this, left] {
      if (--*left == 0) main_loop.stop();
    });
  };
  for (std::size_t i = 0; i < ingresses.size(); ++i) {
    smtp_loops[i]->loop.post([ingress = ingresses[i].get(), done] { ingress->stop(done); });
  }
  egress_loop->loop.post([this, done] { scheduler->stop(done); });
  tickets_loop->loop.post([this, done] { hand_off->stop(done); });
}

}  // namespace relayd

//! Puts a server together: its data recovered, its edge chosen, its threads started; and takes it down again.

use super::advice::{Advice, advice};
use super::certificates;
use super::clock::Clocks;
use super::data::Data;
use super::descriptors::{self, Budget};
use super::handshakes::Handshakes;
use super::helpers::Helpers;
use super::machine::Machine;
use super::member;
use super::memory;
use super::net::{Gate, Net};
use super::peers::Peers;
use super::placement::{self, Pins};
use super::ports::{Door, Mover, Open, Plan};
use super::security::{Security, Tls};
use super::sharded::{self, CoreParts, Ending, ShardParts, ShardThread};
use super::single::Single;
use super::wake::Wake;
use crate::acl::AclTable;
use crate::config::{Config, Edge};
use crate::fatal::{self, Fatal, Reason};
use crate::ids::Zxid;
use crate::limits;
use crate::server::facts::AdminPlane;
use crate::server::inquiry::Inquirer;
use crate::server::memory::{Memory, Shares};
use crate::server::message::{Cursor, Inbound, ShardId};
use crate::server::quorum::{Core, Quorum, QuorumOptions};
use crate::server::shard::{Shard, ShardOptions};
use crate::server::stats::Stats;
use crate::session::{Passwords, SessionIds};
use crate::tree::store::{Reader, Store};
use rustix::process::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long a stop may take before the process ends without it: everything acknowledged is on disk anyway.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// The pause between two attempts to take a port that a reconfiguration wants.
const BIND_PAUSE: Duration = Duration::from_secs(1);

/// What the admin plane may look at while the server runs.
pub struct Server {
    /// The configuration it was started with.
    pub config: Arc<Config>,
    /// What shards and quorum core count.
    pub stats: Arc<Stats>,
    /// The tree's counters.
    pub store: Store,
    /// When the process began to start, for its uptime.
    pub started: Instant,
    /// Asks what only shards and the quorum core know, from any thread.
    pub inquirer: Inquirer,
}

/// Runs a server until SIGTERM or SIGINT, or until it cannot go on. `plane` makes whoever answers the
/// four-letter words, `is_word` says which four bytes are one.
pub fn run(
    config: Config,
    is_word: fn(&[u8; 4]) -> bool,
    plane: impl FnOnce(&Server) -> Arc<dyn AdminPlane>,
) -> Result<(), Fatal> {
    let started = Instant::now();
    descriptors::keep_some()?;
    // Before anything is written: a port that is taken leaves no trace.
    let client_ports = Open::clients(&config, secure(&config)?)?;
    let between_servers = Security::Plain;
    let peer_ports = config.ensemble.as_ref().map(|ensemble| Open::peers(ensemble, &between_servers)).transpose()?;
    let signals = Signals::new([SIGTERM, SIGINT])
        .map_err(|error| Fatal::new(Reason::System, format!("signal handlers: {error}")))?;
    if !config.huge_pages {
        memory::forgo_huge_pages();
    }
    placement::lock_memory(&config)?;
    let pins = Pins::of(&config);
    let clocks = Clocks::start();
    let edge = config.edge();
    let shards = match edge {
        Edge::OneThread => 1,
        Edge::Shards(shards) => usize::from(shards),
    };
    let stats = Arc::new(Stats::new(shards));
    stats.client_port.store(config.client_port, Ordering::Relaxed);
    let (config, shares) = with_shares(config);
    let memory = Memory::new(shares);
    let budget = descriptor_budget(&config, shards);
    let data = Data::recover(&config)?;
    let (store, acls, zxid) = (data.state.store().store(), data.state.acls(), data.zxid);
    let (replayed, server_id) = (data.replayed, data.server);
    let wake = Arc::new(Wake::new()?);
    let (state, log, passwords, member_data, work) = data.into_parts(&config);
    let helpers = Helpers::start(work, wake.clone(), config.memory_ahead);
    let ids = SessionIds::new(clocks.now().wall_ms, session_byte(&config, server_id));
    let member = config.ensemble.is_some();
    let uncommitted_bytes = limits::UNCOMMITTED_BYTES;
    let options = QuorumOptions { config: config.clone(), shards, member, uncommitted_bytes };
    let mut core = Core::new(options, state, reader(&store)?, log, ids, zxid, clocks.now(), stats.clone());
    core.count_replayed(replayed);
    let addresses = client_ports.iter().filter_map(|open| open.listener.local_addr().ok());
    let address = addresses.map(|address| address.to_string()).collect::<Vec<_>>().join(", ");
    let doors: Vec<Arc<Door>> = client_ports.iter().map(|open| Arc::new(Door::new(open))).collect();
    let (quorum, peers) = match (&config.ensemble, member_data, peer_ports) {
        (Some(ensemble), Some(data), Some(ports)) => {
            let plan = Plan {
                id: ensemble.id,
                everywhere: ensemble.settings.listen_on_all_addresses,
                security: between_servers.clone(),
                stats: stats.clone(),
                wake: wake.clone(),
                pause: BIND_PAUSE,
            };
            let room = (budget.peers, memory.others.clone());
            let clients = client_ports.into_iter().zip(doors.iter().cloned()).collect();
            let mover = Mover::start(plan, clients, ports.clone())?;
            let options = member::options(&config, ensemble, data)?;
            let peer_options = member::peer_options(&config, ensemble, room, between_servers);
            let peers = Peers::new(peer_options, (ports, mover), wake.clone())?;
            (Quorum::member(core, options), Some(peers))
        }
        _ => (Quorum::lone(core), None),
    };
    let inbox = channel();
    let inquirer = inquirer(shards, inbox.0.clone(), wake.clone());
    let server = Server { config: config.clone(), stats: stats.clone(), store: store.clone(), started, inquirer };
    let plane = plane(&server);
    let parts = Parts {
        gate: Arc::new(Gate::new(config.max_client_cnxns, budget.clients)),
        half_tick: Duration::from_millis(u64::from(config.tick_time_ms / 2).max(1)),
        // Of a member the end of the log is not shown yet.
        applied: store.published(),
        config,
        shards,
        stats,
        store,
        acls,
        passwords,
        memory,
        is_word,
        doors,
        plane,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let core = CoreThread { quorum, inbox, peers, helpers, wake: wake.clone(), stop: stop.clone() };
    let runner = runner(edge, &parts, core, pins, clocks)?;
    let config = &server.config;
    tracing::info!(
        %address, edge = ?edge, profile = %config.profile, data = %config.data_dir.display(), zxid = %zxid,
        took_ms = started.elapsed().as_millis() as u64, "serving"
    );
    log_machine(config.clone());
    serve(runner, signals, stop, wake)?;
    tracing::info!("stopped");
    Ok(())
}

/// How connections to the secure port are encrypted, if there is to be one: files are read, and the thread for handshakes
/// starts.
fn secure(config: &Config) -> Result<Option<Security>, Fatal> {
    if config.secure_client_port.is_none() {
        return Ok(None);
    }
    let accepting = Arc::new(certificates::accepting(&config.tls)?);
    let patience = Duration::from_millis(config.tls.handshake_ms.into());
    let handshakes = Handshakes::start("client TLS", patience)?;
    Ok(Some(Security::Tls(Tls { config: accepting, handshakes })))
}

/// The configuration with the limits of memory that hold, whether they were written or not: `conf` says so.
fn with_shares(config: Config) -> (Arc<Config>, Shares) {
    let limit = memory_limit(&config);
    let shares = Shares::of(usize::try_from(limit).unwrap_or(usize::MAX));
    let shares = config.max_watch_bytes.map_or(shares, |bytes| shares.with_watches(bytes));
    let max_watch_bytes = Some(shares.watches);
    (Arc::new(Config { memory_limit: Some(limit), max_watch_bytes, ..config }), shares)
}

fn reader(store: &Store) -> Result<Reader, Fatal> {
    store.reader().map_err(|error| Fatal::new(Reason::System, error.to_string()))
}

/// What shards and their sockets are made of, on either edge.
struct Parts {
    config: Arc<Config>,
    shards: usize,
    stats: Arc<Stats>,
    store: Store,
    acls: Arc<AclTable>,
    passwords: Passwords,
    /// What shards show when they begin.
    applied: Zxid,
    memory: Memory,
    is_word: fn(&[u8; 4]) -> bool,
    doors: Vec<Arc<Door>>,
    gate: Arc<Gate>,
    plane: Arc<dyn AdminPlane>,
    half_tick: Duration,
}

impl Parts {
    fn net(&self, wake: Arc<Wake>) -> Result<Net, Fatal> {
        let stats = self.stats.clone();
        let rejected = Box::new(move || {
            stats.connections_rejected.fetch_add(1, Ordering::Relaxed);
        });
        Net::new(&self.doors, wake, self.gate.clone(), self.plane.clone(), self.half_tick, rejected)
    }

    fn shard(&self, number: usize, cursor: Cursor) -> Result<Shard, Fatal> {
        let options = ShardOptions {
            config: self.config.clone(),
            shard: number as ShardId,
            shards: self.shards,
            memory: self.memory.clone(),
            slice: limits::SLICE,
            is_word: self.is_word,
        };
        let (store, acls, passwords) = (self.store.clone(), self.acls.clone(), self.passwords.clone());
        let reader = reader(&self.store)?;
        Ok(Shard::new(options, reader, store, acls, passwords, cursor, self.applied, self.stats.clone()))
    }
}

/// What runs on the core's thread.
struct CoreThread {
    quorum: Quorum,
    inbox: (Sender<Inbound>, Receiver<Inbound>),
    peers: Option<Peers>,
    helpers: Helpers,
    wake: Arc<Wake>,
    stop: Arc<AtomicBool>,
}

/// The whole server, to be run on the core's thread.
type Runner = Box<dyn FnOnce() -> Result<(), Fatal> + Send>;

/// Wires an edge. Nothing of it runs yet.
fn runner(edge: Edge, parts: &Parts, core: CoreThread, pins: Pins, clocks: Clocks) -> Result<Runner, Fatal> {
    let CoreThread { quorum, inbox, peers, helpers, wake, stop } = core;
    let config = &parts.config;
    let log_dir = config.data_log_dir.clone();
    Ok(match edge {
        Edge::OneThread => {
            let shard = parts.shard(0, quorum.cursor())?;
            let net = parts.net(wake.clone())?;
            Box::new(move || {
                pins.take_core();
                Single::new(&log_dir, net, shard, (quorum, inbox.1), peers, helpers, wake, clocks, stop)?.run()
            })
        }
        Edge::Shards(_) => {
            let spin = Duration::from_micros(u64::from(config.spin_us));
            let mut shards = vec![];
            for number in 0..parts.shards {
                let wake = Arc::new(Wake::new()?);
                let thread = ShardThread { cpu: pins.shard(number), spin };
                let shard = parts.shard(number, quorum.cursor())?;
                shards.push(ShardParts { net: parts.net(wake.clone())?, shard, wake, thread });
            }
            let delay = Duration::from_micros(u64::from(config.group_commit_delay_us));
            let core = CoreParts { quorum, inbox, peers, helpers, wake, half_tick: parts.half_tick, spin, delay };
            let ending = Ending { stop, published_all: Arc::default() };
            Box::new(move || {
                pins.take_core();
                sharded::run(&log_dir, core, shards, clocks, ending)
            })
        }
    })
}

/// Runs a server on a thread of its own until it ends, while this thread waits for signals.
fn serve(runner: Runner, mut signals: Signals, stop: Arc<AtomicBool>, wake: Arc<Wake>) -> Result<(), Fatal> {
    let handle = signals.handle();
    let waiter = signals_waiter(&mut signals, stop, wake);
    std::thread::scope(|scope| {
        let brain = std::thread::Builder::new().name("core".to_owned()).spawn_scoped(scope, move || {
            let result = runner();
            if let Err(fatal) = &result {
                // The whole process ends at once: no client is answered any more.
                tracing::error!(reason = fatal.reason.name(), "{fatal}");
                fatal::exit(fatal);
            }
            handle.close();
            result
        });
        let brain = brain.map_err(|error| Fatal::new(Reason::System, format!("starting a thread: {error}")))?;
        waiter();
        brain.join().map_err(|_| Fatal::new(Reason::System, "the core's thread panicked"))?
    })
}

/// Puts questions where the shards of more threads put their requests.
fn inquirer(shards: usize, to_core: Sender<Inbound>, wake: Arc<Wake>) -> Inquirer {
    Inquirer::new(shards, move |inbound| {
        // A core that has ended takes none: the question is dropped, and the asker's channel ends.
        if to_core.send(inbound).is_ok() {
            wake.ring();
        }
    })
}

/// The byte of this server in the ids of sessions: the last one of its id. Without one, or where that has no room in an owner
/// of extended types, it is ZooKeeper's on its own.
fn session_byte(config: &Config, id: i64) -> u8 {
    match id as u8 {
        byte if config.ensemble.is_some() => byte,
        0 | u8::MAX => 1,
        byte => byte,
    }
}

/// What waits for signals on the main thread until the server has stopped.
fn signals_waiter(signals: &mut Signals, stop: Arc<AtomicBool>, wake: Arc<Wake>) -> impl FnOnce() {
    move || {
        for signal in signals.forever() {
            if stop.swap(true, Ordering::SeqCst) {
                continue;
            }
            tracing::info!(signal, "stopping");
            wake.ring();
            std::thread::spawn(|| {
                std::thread::sleep(STOP_DEADLINE);
                tracing::warn!("stopping took too long: leaving; everything acknowledged is on disk");
                std::process::exit(0);
            });
        }
    }
}

/// The shares of descriptors. Raises the soft limit to the hard limit first.
fn descriptor_budget(config: &Config, shards: usize) -> Budget {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files could not be raised to its maximum");
    }
    let open_files = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files as usize);
    Budget::of(open_files, shards, config.ensemble.is_some(), config.max_cnxns as usize)
}

/// The ceiling that is configured, or what leaves a quarter of the memory there is to everything else: the kernel's buffers
/// of sockets and files, which a control group counts as well, and the allocator.
fn memory_limit(config: &Config) -> u64 {
    match (config.memory_limit, Machine::look(config).usable_memory()) {
        (Some(limit), _) => limit,
        // Nobody knows.
        (None, 0) => u64::MAX >> 1,
        (None, usable) => usable / 4 * 3,
    }
}

/// Tells what the server runs on and what one would change about it, on a thread that measures the disk meanwhile.
fn log_machine(config: Arc<Config>) {
    let tell = move || {
        placement::step_back();
        let mut machine = Machine::look(&config);
        machine.measure();
        let facts: Vec<_> = machine.facts().into_iter().map(|(name, words)| format!("{name} {words}")).collect();
        tracing::info!("machine: {}", facts.join("; "));
        for Advice { warning, finding, change, how } in advice(&machine, &config) {
            if warning {
                tracing::warn!(change, how, "{finding}");
            } else {
                tracing::info!(change, how, "{finding}");
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("machine".to_owned()).spawn(tell) {
        tracing::warn!(%error, "no thread to look at the machine");
    }
}

//! The ensemble of production: sessions of the client crate, the machine's clock, tasks of the caller's runtime.

use crate::session::{
    Created, Ensemble, EventStream, Operation, OperationResult, Session, StateWatch, TransactionError, Watch,
};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use std::future::Future;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};
use zookeeper_client::{
    Acl, Acls, AddWatchMode, Client, Connector, CreateMode, Error, MultiWriteError, MultiWriteResult, OneshotWatcher,
    PersistentWatcher, SessionId, SessionState, Stat, StateWatcher, WatchedEvent,
};

/// The servers of an ensemble, and how sessions with them are opened.
///
/// ```no_run
/// # async fn example() -> corral_recipes::Result<()> {
/// use corral_recipes::{Connection, RetryPolicy, ZooKeeper, zookeeper_client::Client};
/// use std::time::Duration;
///
/// let connector = Client::connector().with_session_timeout(Duration::from_secs(10));
/// let ensemble = ZooKeeper::new("one:2181,two:2181,three:2181").connector(connector).chroot("/app");
/// let connection = Connection::open(ensemble, RetryPolicy::default()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ZooKeeper {
    servers: String,
    connector: Connector,
    chroot: Option<String>,
    /// Tasks on their way to the runtime, once a session was opened in it. What is dropped on a thread of no runtime can have
    /// work for it, too.
    spawner: std::sync::Arc<std::sync::OnceLock<mpsc::UnboundedSender<BoxFuture<'static, ()>>>>,
}

impl ZooKeeper {
    /// The servers of a connect string: `host:port,host:port`, and perhaps a path that is the root.
    pub fn new(servers: &str) -> ZooKeeper {
        ZooKeeper {
            servers: servers.to_owned(),
            connector: Client::connector(),
            chroot: None,
            spawner: Default::default(),
        }
    }

    /// Opens sessions by this connector: session timeout, identities, TLS.
    pub fn connector(mut self, connector: Connector) -> ZooKeeper {
        self.connector = connector;
        self
    }

    /// All paths are below this one, which is created when it is missing. (The path in a connect string is not.)
    pub fn chroot(mut self, path: &str) -> ZooKeeper {
        self.chroot = Some(path.to_owned());
        self
    }
}

impl Ensemble for ZooKeeper {
    type Session = Client;

    async fn open(&self) -> Result<Client, Error> {
        let client = self.connector.clone().connect(&self.servers).await?;
        self.spawner.get_or_init(|| {
            let (sender, mut tasks) = mpsc::unbounded();
            asyncs::spawn(async move {
                while let Some(task) = tasks.next().await {
                    asyncs::spawn(task);
                }
            });
            sender
        });
        let Some(chroot) = &self.chroot else { return Ok(client) };
        client.mkdir(chroot, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await?;
        client.chroot(chroot.as_str()).map_err(|_| Error::BadArguments(&"the chroot is no absolute path"))
    }

    async fn sleep(&self, duration: Duration) {
        async_io::Timer::after(duration).await;
    }

    fn now(&self) -> Duration {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        ORIGIN.elapsed()
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::now()
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let spawner = self.spawner.get().expect("a session was opened before there was work for it");
        // A runtime that has ended runs nothing; its sessions end by their timeouts.
        let _ = spawner.unbounded_send(task);
    }
}

impl StateWatch for StateWatcher {
    fn state(&mut self) -> SessionState {
        StateWatcher::state(self)
    }

    fn changed(&mut self) -> impl Future<Output = SessionState> + Send {
        StateWatcher::changed(self)
    }
}

/// Events of a persistent watch of the client. It must not be asked again after a final state, so it is not.
#[derive(Debug)]
pub struct ClientEvents {
    watcher: PersistentWatcher,
    is_over: bool,
}

impl EventStream for ClientEvents {
    async fn next(&mut self) -> WatchedEvent {
        if self.is_over {
            std::future::pending::<()>().await;
        }
        let event = self.watcher.changed().await;
        self.is_over = event.event_type == zookeeper_client::EventType::Session && event.session_state.is_terminated();
        event
    }
}

fn watch(watcher: OneshotWatcher) -> Watch {
    Box::pin(watcher.changed())
}

impl Session for Client {
    type States = StateWatcher;
    type Events = ClientEvents;

    fn id(&self) -> SessionId {
        self.session_id()
    }

    fn timeout(&self) -> Duration {
        self.session_timeout()
    }

    fn states(&self) -> StateWatcher {
        self.state_watcher()
    }

    fn state(&self) -> SessionState {
        Client::state(self)
    }

    async fn create(&self, path: &str, data: &[u8], mode: CreateMode, acl: &[Acl]) -> Result<Created, Error> {
        let options = mode.with_acls(Acls::new(acl));
        let (stat, sequence) = Client::create(self, path, data, &options).await?;
        let is_sequential = matches!(mode, CreateMode::PersistentSequential | CreateMode::EphemeralSequential);
        let path = if is_sequential { format!("{path}{sequence}") } else { path.to_owned() };
        Ok(Created { path, stat })
    }

    fn delete(&self, path: &str, version: Option<i32>) -> impl Future<Output = Result<(), Error>> + Send {
        Client::delete(self, path, version)
    }

    fn get(&self, path: &str) -> impl Future<Output = Result<(Vec<u8>, Stat), Error>> + Send {
        self.get_data(path)
    }

    async fn get_and_watch(&self, path: &str) -> Result<(Vec<u8>, Stat, Watch), Error> {
        let (data, stat, watcher) = self.get_and_watch_data(path).await?;
        Ok((data, stat, watch(watcher)))
    }

    fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> impl Future<Output = Result<Stat, Error>> + Send {
        self.set_data(path, data, version)
    }

    fn exists(&self, path: &str) -> impl Future<Output = Result<Option<Stat>, Error>> + Send {
        self.check_stat(path)
    }

    async fn exists_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        let (stat, watcher) = self.check_and_watch_stat(path).await?;
        Ok((stat, watch(watcher)))
    }

    fn children(&self, path: &str) -> impl Future<Output = Result<(Vec<String>, Stat), Error>> + Send {
        self.get_children(path)
    }

    async fn children_and_watch(&self, path: &str) -> Result<(Vec<String>, Stat, Watch), Error> {
        let (children, stat, watcher) = self.get_and_watch_children(path).await?;
        Ok((children, stat, watch(watcher)))
    }

    fn acl(&self, path: &str) -> impl Future<Output = Result<(Vec<Acl>, Stat), Error>> + Send {
        self.get_acl(path)
    }

    fn set_acl(
        &self,
        path: &str,
        acl: &[Acl],
        version: Option<i32>,
    ) -> impl Future<Output = Result<Stat, Error>> + Send {
        Client::set_acl(self, path, acl, version)
    }

    fn auth(&self, scheme: &str, credentials: &[u8]) -> impl Future<Output = Result<(), Error>> + Send {
        Client::auth(self, scheme, credentials)
    }

    fn sync(&self, path: &str) -> impl Future<Output = Result<(), Error>> + Send {
        Client::sync(self, path)
    }

    async fn watch(&self, path: &str, mode: AddWatchMode) -> Result<ClientEvents, Error> {
        Ok(ClientEvents { watcher: Client::watch(self, path, mode).await?, is_over: false })
    }

    async fn commit(&self, operations: &[Operation], acl: &[Acl]) -> Result<Vec<OperationResult>, TransactionError> {
        let request = |source| TransactionError { at: None, source };
        let committed = {
            let mut writer = self.new_multi_writer();
            for operation in operations {
                match operation {
                    Operation::Check { path, version } => writer.add_check_version(path, version.unwrap_or(-1)),
                    Operation::Create { path, data, mode } => {
                        writer.add_create(path, data, &mode.with_acls(Acls::new(acl)))
                    }
                    Operation::Set { path, data, version } => writer.add_set_data(path, data, *version),
                    Operation::Delete { path, version } => writer.add_delete(path, *version),
                }
                .map_err(request)?;
            }
            writer.commit()
        };
        let results = committed.await.map_err(|error| match error {
            MultiWriteError::RequestFailed { source } => request(source),
            MultiWriteError::OperationFailed { index, source } => TransactionError { at: Some(index), source },
        })?;
        let result = |result| match result {
            MultiWriteResult::Check => Ok(OperationResult::Checked),
            MultiWriteResult::Create { path, .. } => Ok(OperationResult::Created(path)),
            MultiWriteResult::SetData { stat } => Ok(OperationResult::Set(stat)),
            MultiWriteResult::Delete => Ok(OperationResult::Deleted),
            other => Err(request(Error::UnexpectedError(format!("{other:?}")))),
        };
        results.into_iter().map(result).collect()
    }
}

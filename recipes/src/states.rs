//! The states of a connection, across its sessions.

use crate::session::{Ensemble, Session, StateWatch};
use asyncs::sync::watch;
use zookeeper_client::SessionState;

/// What a connection is like at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Requests are answered.
    Connected,
    /// The connection is broken and the session may live: another server is being looked for. Whoever holds a lock or leads
    /// cannot know whether this is still so, and pauses.
    Suspended,
    /// The session has ended, and with it its locks, its ephemeral znodes and its watches. The next request opens a new one.
    Lost,
    /// The server is cut off from the others: it answers reads alone.
    ReadOnly,
}

impl From<SessionState> for ConnectionState {
    fn from(state: SessionState) -> ConnectionState {
        match state {
            SessionState::SyncConnected => ConnectionState::Connected,
            SessionState::Disconnected => ConnectionState::Suspended,
            SessionState::ConnectedReadOnly => ConnectionState::ReadOnly,
            SessionState::Expired | SessionState::Closed | SessionState::AuthFailed => ConnectionState::Lost,
        }
    }
}

/// Listens to a connection's states, in order, from [`Connection::states`](crate::Connection::states).
///
/// Nothing is queued: whoever looks late sees the newest state, not those between. The end of a session is never among those
/// left out: a `Lost` comes before the states of the next session.
pub struct ConnectionStates<E: Ensemble> {
    /// The session that is listened to, and its states.
    current: E::Session,
    states: <E::Session as Session>::States,
    /// The connection's newest session.
    sessions: watch::Receiver<E::Session>,
    last: Option<ConnectionState>,
}

impl<E: Ensemble> ConnectionStates<E> {
    pub(crate) fn new(mut sessions: watch::Receiver<E::Session>) -> ConnectionStates<E> {
        let current = sessions.borrow_and_update().clone();
        let states = current.states();
        ConnectionStates { current, states, sessions, last: None }
    }

    /// The next state; the first call returns the present one.
    ///
    /// Dropping the future loses nothing. It is pending for ever once the connection is dropped and its session has ended.
    pub async fn next(&mut self) -> ConnectionState {
        if self.last.is_none() {
            return self.tell(self.current.state());
        }
        loop {
            if self.last == Some(ConnectionState::Lost) {
                // Nothing but another session follows.
                match self.sessions.changed().await {
                    Ok(session) => self.current = session.clone(),
                    Err(_) => std::future::pending().await,
                }
                self.states = self.current.states();
                return self.tell(self.current.state());
            }
            let state = self.states.changed().await;
            if Some(ConnectionState::from(state)) != self.last {
                return self.tell(state);
            }
        }
    }

    fn tell(&mut self, state: SessionState) -> ConnectionState {
        let state = ConnectionState::from(state);
        self.last = Some(state);
        state
    }
}

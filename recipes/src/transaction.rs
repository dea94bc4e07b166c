//! Several changes at once: all of them, or none.

use crate::connection::Connection;
use crate::session::{Ensemble, Operation, OperationResult, Session, TransactionError};
use crate::zookeeper::ZooKeeper;
use zookeeper_client as zk;
use zookeeper_client::CreateMode;

/// A transaction that is being put together, from [`Connection::transaction`].
///
/// ```no_run
/// # async fn example(connection: corral_recipes::Connection) -> Result<(), corral_recipes::TransactionError> {
/// use corral_recipes::zookeeper_client::CreateMode;
///
/// let results = connection
///     .transaction()
///     .check("/app/leader", Some(3))
///     .set("/app/state", b"running", None)
///     .create("/app/log/entry-", b"started", CreateMode::PersistentSequential)
///     .commit()
///     .await?;
/// assert_eq!(results.len(), 3);
/// # Ok(())
/// # }
/// ```
pub struct Transaction<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    /// The only session that may carry it out; the present one, if there is none.
    session: Option<E::Session>,
    operations: Vec<Operation>,
}

impl<E: Ensemble> Transaction<E> {
    pub(crate) fn new(connection: Connection<E>) -> Transaction<E> {
        Transaction { connection, session: None, operations: vec![] }
    }

    /// No other session is to carry it out.
    pub(crate) fn within(mut self, session: &E::Session) -> Transaction<E> {
        self.session = Some(session.clone());
        self
    }

    fn and(mut self, operation: Operation) -> Transaction<E> {
        self.operations.push(operation);
        self
    }

    /// The rest happens only if the znode is there, with this version if one is given.
    pub fn check(self, path: &str, version: Option<i32>) -> Transaction<E> {
        self.and(Operation::Check { path: path.to_owned(), version })
    }

    /// Creates a znode, with the connection's ACL.
    pub fn create(self, path: &str, data: &[u8], mode: CreateMode) -> Transaction<E> {
        self.and(Operation::Create { path: path.to_owned(), data: data.to_vec(), mode })
    }

    /// Changes the data of a znode, if it has this version.
    pub fn set(self, path: &str, data: &[u8], version: Option<i32>) -> Transaction<E> {
        self.and(Operation::Set { path: path.to_owned(), data: data.to_vec(), version })
    }

    /// Deletes a znode, if it has this version.
    pub fn delete(self, path: &str, version: Option<i32>) -> Transaction<E> {
        self.and(Operation::Delete { path: path.to_owned(), version })
    }

    /// Carries it out in the present session, once. It is not repeated: after [`zk::Error::ConnectionLoss`] it may have
    /// happened, and whether it has is for the caller to look up. Dropping the future does not take it back.
    pub async fn commit(self) -> std::result::Result<Vec<OperationResult>, TransactionError> {
        let session = match self.session {
            Some(session) => Ok(session),
            None => self.connection.session().await,
        };
        let session = match session {
            Ok(session) => session,
            Err(crate::Error::Client(source) | crate::Error::GivenUp { last: source, .. }) => {
                return Err(TransactionError { at: None, source });
            }
            Err(_) => return Err(TransactionError { at: None, source: zk::Error::SessionExpired }),
        };
        session.commit(&self.operations, self.connection.acl()).await
    }
}

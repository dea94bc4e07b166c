//! Numbers and other small values that many change.

use crate::connection::Connection;
use crate::error::{Error, Result, is_ended, is_transient};
use crate::names::split;
use crate::session::{Ensemble, Session};
use crate::zookeeper::ZooKeeper;
use zookeeper_client as zk;
use zookeeper_client::CreateMode;

/// A value in one znode that is changed from what it was: nobody's change is lost.
pub struct AtomicValue<E: Ensemble = ZooKeeper> {
    connection: Connection<E>,
    path: String,
}

/// A value, and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// It grows with every change. `None`: the znode is not there.
    pub version: Option<i32>,
}

impl<E: Ensemble> AtomicValue<E> {
    /// The value of this path; without data until somebody sets some.
    pub fn new(connection: &Connection<E>, path: &str) -> AtomicValue<E> {
        AtomicValue { connection: connection.clone(), path: path.to_owned() }
    }

    /// The present value; empty if the znode is not there.
    pub async fn get(&self) -> Result<Versioned<Vec<u8>>> {
        match self.connection.get(&self.path).await {
            Ok((value, stat)) => Ok(Versioned { value, version: Some(stat.version) }),
            Err(Error::Client(zk::Error::NoNode)) => Ok(Versioned { value: vec![], version: None }),
            Err(error) => Err(error),
        }
    }

    /// Sets the value, whatever it was.
    pub async fn set(&self, value: &[u8]) -> Result<()> {
        self.connection.put(&self.path, value).await
    }

    /// Sets the value if it still has this version, and says whether it had.
    ///
    /// [`Error::InDoubt`] says that the answer was lost, and that what is there now does not tell whether it was this call.
    pub async fn set_if(&self, expected: &Versioned<Vec<u8>>, value: &[u8]) -> Result<bool> {
        let mut attempts = self.connection.attempts("set a value");
        loop {
            let session = self.connection.session().await?;
            let outcome = match expected.version {
                Some(version) => session.set(&self.path, value, Some(version)).await.map(drop),
                None => {
                    session.create(&self.path, value, CreateMode::Persistent, self.connection.acl()).await.map(drop)
                }
            };
            match outcome {
                Ok(()) => return Ok(true),
                Err(zk::Error::BadVersion | zk::Error::NodeExists) => return Ok(false),
                Err(zk::Error::NoNode) if expected.version.is_none() && split(&self.path).0 != "/" => {
                    self.connection.ensure_container(split(&self.path).0).await?;
                }
                // It has gone, and so has the version.
                Err(zk::Error::NoNode) => return Ok(false),
                Err(error) if is_transient(&error) || is_ended(&error) => {
                    attempts.failed(error).await?;
                    // What became of it? The request is not under way any more when this is answered.
                    self.connection.retry("sync", |session| async move { session.sync(&self.path).await }).await?;
                    let now = self.get().await?;
                    if now.version == expected.version {
                        continue;
                    }
                    let is_next = now.version == Some(expected.version.map_or(0, |version| version.wrapping_add(1)));
                    // The next value is another one: somebody else's. Whatever came later hides which one it was.
                    return if is_next && now.value != value { Ok(false) } else { Err(Error::InDoubt) };
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Changes the value by a function of what it was, and returns it before and after. The function is called again when
    /// somebody else was faster. See [`set_if`](Self::set_if) for [`Error::InDoubt`].
    pub async fn update(&self, change: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<(Vec<u8>, Vec<u8>)> {
        loop {
            let before = self.get().await?;
            let after = change(&before.value)?;
            if self.set_if(&before, &after).await? {
                return Ok((before.value, after));
            }
        }
    }

    /// Waits until the value is another one than this version of it. It outlasts sessions. Changes that follow each other fast
    /// are seen as one.
    pub async fn changed(&self, known: Option<i32>) -> Result<Versioned<Vec<u8>>> {
        let mut attempts = self.connection.attempts("watch a value");
        loop {
            let session = self.connection.session().await?;
            let watched = async {
                match session.get_and_watch(&self.path).await {
                    Ok((value, stat, watch)) => Ok((Versioned { value, version: Some(stat.version) }, watch)),
                    Err(zk::Error::NoNode) => match session.exists_and_watch(&self.path).await? {
                        (None, watch) => Ok((Versioned { value: vec![], version: None }, watch)),
                        // It has come meanwhile.
                        (Some(_), _) => Err(zk::Error::Throttled),
                    },
                    Err(error) => Err(error),
                }
            };
            match watched.await {
                Ok((now, _)) if now.version != known => return Ok(now),
                Ok((_, watch)) => drop(watch.await),
                Err(error) if is_transient(&error) || is_ended(&error) => attempts.failed(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How a number is written into its znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberFormat {
    /// Four bytes, the greatest first: Curator's `SharedCount` and `DistributedAtomicInteger`, kazoo's `Counter` with
    /// `support_curator`.
    Int,
    /// Eight bytes, the greatest first: Curator's `DistributedAtomicLong`.
    Long,
    /// Decimal text: kazoo's `Counter`.
    Text,
}

impl NumberFormat {
    fn write(self, number: i64) -> Result<Vec<u8>> {
        match self {
            NumberFormat::Int => match i32::try_from(number) {
                Ok(number) => Ok(number.to_be_bytes().to_vec()),
                Err(_) => Err(Error::Misuse("the number does not fit into four bytes")),
            },
            NumberFormat::Long => Ok(number.to_be_bytes().to_vec()),
            NumberFormat::Text => Ok(number.to_string().into_bytes()),
        }
    }

    /// No data are 0, as in Curator and kazoo.
    fn read(self, data: &[u8]) -> Option<i64> {
        if data.is_empty() {
            return Some(0);
        }
        match self {
            NumberFormat::Int => data.try_into().ok().map(|bytes| i64::from(i32::from_be_bytes(bytes))),
            NumberFormat::Long => data.try_into().ok().map(i64::from_be_bytes),
            NumberFormat::Text => std::str::from_utf8(data).ok()?.parse().ok(),
        }
    }
}

/// A number that many count with.
///
/// ```no_run
/// # async fn example(connection: corral_recipes::Connection) -> corral_recipes::Result<()> {
/// use corral_recipes::counter::{Counter, NumberFormat};
///
/// let visitors = Counter::new(&connection, "/app/visitors", NumberFormat::Long);
/// println!("visitor number {}", visitors.add(1).await?);
/// # Ok(())
/// # }
/// ```
pub struct Counter<E: Ensemble = ZooKeeper> {
    value: AtomicValue<E>,
    format: NumberFormat,
}

impl<E: Ensemble> Counter<E> {
    /// The number of this path; 0 until somebody sets it.
    pub fn new(connection: &Connection<E>, path: &str, format: NumberFormat) -> Counter<E> {
        Counter { value: AtomicValue::new(connection, path), format }
    }

    fn read(&self, data: &[u8]) -> Result<i64> {
        self.format.read(data).ok_or_else(|| Error::Foreign {
            path: self.value.path.clone(),
            problem: format!("its data are no number of the format {:?}", self.format),
        })
    }

    /// The number.
    pub async fn get(&self) -> Result<Versioned<i64>> {
        let now = self.value.get().await?;
        Ok(Versioned { value: self.read(&now.value)?, version: now.version })
    }

    /// Sets the number, whatever it was.
    pub async fn set(&self, number: i64) -> Result<()> {
        self.value.set(&self.format.write(number)?).await
    }

    /// Adds to the number, and returns it as it is then. See [`AtomicValue::set_if`] for [`Error::InDoubt`].
    pub async fn add(&self, number: i64) -> Result<i64> {
        let change = |before: &[u8]| {
            let sum = self.read(before)?.checked_add(number).ok_or(Error::Misuse("the number overflows"))?;
            self.format.write(sum)
        };
        let (_, after) = self.value.update(change).await?;
        self.read(&after)
    }

    /// Sets the number if it is the expected one, and says whether it was.
    pub async fn compare_and_set(&self, expected: i64, number: i64) -> Result<bool> {
        let now = self.value.get().await?;
        if self.read(&now.value)? != expected {
            return Ok(false);
        }
        self.value.set_if(&now, &self.format.write(number)?).await
    }

    /// Waits until the number has another version than this one. See [`AtomicValue::changed`].
    pub async fn changed(&self, known: Option<i32>) -> Result<Versioned<i64>> {
        let now = self.value.changed(known).await?;
        Ok(Versioned { value: self.read(&now.value)?, version: now.version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_curator_and_kazoo_do() {
        for (format, number, data) in [
            (NumberFormat::Int, 258, &[0, 0, 1, 2][..]),
            (NumberFormat::Int, -1, &[255; 4]),
            (NumberFormat::Long, 258, &[0, 0, 0, 0, 0, 0, 1, 2]),
            (NumberFormat::Text, -12, b"-12"),
        ] {
            assert_eq!(format.write(number).unwrap(), data);
            assert_eq!(format.read(data), Some(number));
            assert_eq!(format.read(b""), Some(0));
        }
        assert_eq!(NumberFormat::Int.read(&[0; 8]), None);
        assert_eq!(NumberFormat::Long.read(&[0; 4]), None);
        assert_eq!(NumberFormat::Text.read(b"many"), None);
        assert!(NumberFormat::Int.write(1 << 40).is_err());
    }
}

//! Conveniences for whole paths and subtrees: no error where a znode is there already, or not there any more.

use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::names::{child, split, upwards};
use crate::session::{Ensemble, Session};
use futures::{StreamExt, TryStreamExt, stream};
use zookeeper_client as zk;
use zookeeper_client::CreateMode;

/// Requests under way for one subtree.
const PIPELINE: usize = 64;

/// How often a subtree is listed anew because somebody has added to it while it was deleted.
const ROUNDS: usize = 10;

impl<E: Ensemble> Connection<E> {
    /// Creates a persistent znode and all above it, where they are missing.
    pub async fn ensure_path(&self, path: &str) -> Result<()> {
        self.ensure(path, CreateMode::Persistent).await
    }

    /// Creates a container and all above it as containers, where they are missing. The ensemble deletes a container some time
    /// after its last child.
    pub async fn ensure_container(&self, path: &str) -> Result<()> {
        self.ensure(path, CreateMode::Container).await
    }

    async fn ensure(&self, path: &str, mode: CreateMode) -> Result<()> {
        if path == "/" || self.exists(path).await?.is_some() {
            return Ok(());
        }
        for part in upwards(path) {
            self.create_if_absent(part, b"", mode).await?;
        }
        Ok(())
    }

    /// Creates a znode if it is not there, and says whether it was not. Its parent has to be there.
    pub async fn create_if_absent(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<bool> {
        let created = self.retry("create", |session| async move { session.create(path, data, mode, self.acl()).await });
        match created.await {
            Ok(_) => Ok(true),
            Err(Error::Client(zk::Error::NodeExists)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a znode if it is there, and says whether it was.
    pub async fn delete_if_present(&self, path: &str) -> Result<bool> {
        let deleted = self.retry("delete", |session| async move { session.delete(path, None).await });
        match deleted.await {
            Ok(()) => Ok(true),
            Err(Error::Client(zk::Error::NoNode)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a znode and all below it; nothing, if it is not there. It is no transaction: others see parts of the subtree
    /// while it is deleted, and dropping the future leaves a part. Its paths are held in memory.
    pub async fn delete_recursive(&self, path: &str) -> Result<()> {
        if path == "/" {
            return Err(Error::Misuse("the root cannot be deleted"));
        }
        for _ in 0..ROUNDS {
            let levels = self.levels(path).await?;
            let mut is_empty = true;
            for level in levels.into_iter().rev() {
                let deletes = stream::iter(level).map(|path| async move { self.delete_if_present(&path).await });
                let deletes = deletes.buffer_unordered(PIPELINE);
                match deletes.try_collect::<Vec<_>>().await {
                    Ok(_) => {}
                    Err(Error::Client(zk::Error::NotEmpty)) => {
                        is_empty = false;
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            if is_empty {
                return Ok(());
            }
        }
        Err(Error::Client(zk::Error::NotEmpty))
    }

    /// The paths of a subtree, a list for each depth.
    async fn levels(&self, path: &str) -> Result<Vec<Vec<String>>> {
        let mut levels = vec![];
        let mut level = vec![path.to_owned()];
        while !level.is_empty() {
            let children = stream::iter(level.clone()).map(|path| async move { self.child_paths(&path).await });
            let children = children.buffer_unordered(PIPELINE);
            let next: Vec<Vec<String>> = children.try_collect().await?;
            levels.push(level);
            level = next.concat();
        }
        Ok(levels)
    }

    /// The paths of the children; none, if the znode is not there.
    async fn child_paths(&self, path: &str) -> Result<Vec<String>> {
        match self.children(path).await {
            Ok(children) => Ok(children.iter().map(|name| child(path, name)).collect()),
            Err(Error::Client(zk::Error::NoNode)) => Ok(vec![]),
            Err(error) => Err(error),
        }
    }

    /// Sets the data of a znode, which is created if it is not there, and the persistent ones above it as well.
    pub async fn put(&self, path: &str, data: &[u8]) -> Result<()> {
        loop {
            match self.set(path, data).await {
                Err(Error::Client(zk::Error::NoNode)) => {}
                result => return result.map(drop),
            }
            if split(path).0 != "/" {
                self.ensure_path(split(path).0).await?;
            }
            if self.create_if_absent(path, data, CreateMode::Persistent).await? {
                return Ok(());
            }
        }
    }
}

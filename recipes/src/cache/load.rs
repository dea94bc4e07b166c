//! Reading a part of the tree, many znodes at a time.

use super::{Cached, Scope, Watching, is_within};
use crate::names::child;
use crate::session::{Session, Watch};
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use zookeeper_client as zk;

/// Requests under way at a time.
const PIPELINE: usize = 256;

/// How and what is read.
pub(super) struct Loader<'a, S> {
    pub(super) session: &'a S,
    pub(super) root: &'a str,
    pub(super) scope: Scope,
    pub(super) watching: Watching,
}

/// What was read.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) nodes: BTreeMap<String, Cached>,
    /// Paths that are not there.
    pub(super) gone: Vec<String>,
    pub(super) watches: Vec<Watch>,
}

/// One znode: what it is, its children, its watches.
struct Node {
    path: String,
    cached: Option<Cached>,
    children: Vec<String>,
    watches: Vec<Watch>,
}

type Answer<T> = Result<T, zk::Error>;

impl<S: Session> Loader<'_, S> {
    /// Whether a znode's data are in the scope.
    fn has(&self, path: &str) -> bool {
        match self.scope {
            Scope::Node => path == self.root,
            Scope::Children => path != self.root && crate::names::split(path).0 == self.root,
            Scope::Tree => is_within(self.root, path),
        }
    }

    /// Whether a znode's children are.
    fn has_children_of(&self, path: &str) -> bool {
        match self.scope {
            Scope::Node => false,
            Scope::Children => path == self.root,
            Scope::Tree => is_within(self.root, path),
        }
    }

    /// These znodes and what of the scope is below them.
    pub(super) async fn load(&self, mut level: Vec<String>) -> Answer<Loaded> {
        let mut loaded = Loaded::default();
        while !level.is_empty() {
            let nodes = stream::iter(std::mem::take(&mut level)).map(|path| self.node(path)).buffer_unordered(PIPELINE);
            let nodes: Vec<Node> = nodes.try_collect().await?;
            for node in nodes {
                loaded.watches.extend(node.watches);
                level.extend(node.children.iter().map(|name| child(&node.path, name)));
                match node.cached {
                    Some(cached) if self.has(&node.path) => drop(loaded.nodes.insert(node.path, cached)),
                    Some(_) => {}
                    None => loaded.gone.push(node.path),
                }
            }
        }
        Ok(loaded)
    }

    /// The data of one znode, if they are in the scope.
    pub(super) async fn one(&self, path: &str) -> Answer<Loaded> {
        let mut loaded = Loaded::default();
        if self.has(path) {
            let (cached, watches) = self.data(path).await?;
            loaded.watches = watches;
            match cached {
                Some(cached) => drop(loaded.nodes.insert(path.to_owned(), cached)),
                None => loaded.gone.push(path.to_owned()),
            }
        }
        Ok(loaded)
    }

    /// The children of a znode that were not known, with what is below them; and those that are not there any more.
    pub(super) async fn children(&self, path: &str, known: &[String]) -> Answer<Loaded> {
        let (children, _, watch) = match self.session.children_and_watch(path).await {
            Err(zk::Error::NoNode) => return self.load(vec![path.to_owned()]).await,
            children => children?,
        };
        let now: Vec<String> = children.iter().map(|name| child(path, name)).collect();
        let (new, old): (Vec<_>, Vec<_>) = now.into_iter().partition(|child| known.binary_search(child).is_err());
        let mut loaded = self.load(new).await?;
        let is_child = |known: &&String| known.as_str() != path && crate::names::split(known).0 == path;
        loaded.gone.extend(known.iter().filter(is_child).filter(|known| !old.contains(known)).cloned());
        loaded.watches.push(watch);
        Ok(loaded)
    }

    /// A znode's data, with a watch if there are to be some. One that is not there is watched for its coming, if it is the
    /// root: of the others the parent tells.
    async fn data(&self, path: &str) -> Answer<(Option<Cached>, Vec<Watch>)> {
        loop {
            let read = match self.watching {
                Watching::Persistent => self.session.get(path).await.map(|(data, stat)| (data, stat, None)),
                Watching::OneShot => {
                    self.session.get_and_watch(path).await.map(|(data, stat, watch)| (data, stat, Some(watch)))
                }
            };
            match read {
                Ok((data, stat, watch)) => return Ok((Some((data, stat).into()), watch.into_iter().collect())),
                Err(zk::Error::NoNode) if self.watching == Watching::OneShot && path == self.root => {
                    let (stat, watch) = self.session.exists_and_watch(path).await?;
                    if stat.is_none() {
                        return Ok((None, vec![watch]));
                    }
                }
                Err(zk::Error::NoNode) => return Ok((None, vec![])),
                Err(error) => return Err(error),
            }
        }
    }

    async fn node(&self, path: String) -> Answer<Node> {
        let (cached, mut watches) = self.data(&path).await?;
        let mut children = vec![];
        // A leaf costs one request, if its children need no watch.
        let has_children = cached.as_ref().is_some_and(|cached| cached.stat.num_children > 0);
        if cached.is_some() && self.has_children_of(&path) && (has_children || self.watching == Watching::OneShot) {
            let listed = match self.watching {
                Watching::Persistent => self.session.children(&path).await.map(|(children, _)| (children, None)),
                Watching::OneShot => {
                    self.session.children_and_watch(&path).await.map(|(children, _, watch)| (children, Some(watch)))
                }
            };
            match listed {
                Ok((names, watch)) => {
                    children = names;
                    watches.extend(watch);
                }
                // It went between the two: its watch, or the parent's, tells.
                Err(zk::Error::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Node { path, cached, children, watches })
    }
}

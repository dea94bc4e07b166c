//! Locks: one at a time, in the order of their coming, with a token that tells an old holder from the present one.
//!
//! A lock of a coordination service is advice. Its holder can be stopped for longer than its session lives, and go on
//! without noticing while the next one works. Two things help, and this module has both:
//!
//! - A [`Guard`] learns from its session when the lock may be lost, and [`Guard::run`] drops the work at that moment. That
//!   covers all that the process can notice.
//! - A [`FencingToken`] grows from holder to holder. The resource remembers the greatest one it has seen, and refuses
//!   smaller ones ([`Fence`], or a transaction begun by [`Guard::transaction`] if the resource is in the ensemble itself). That
//!   covers what the process cannot notice.

mod guard;
mod line;
mod multi;
mod mutex;
mod read_write;
mod semaphore;
mod simple;

pub use guard::{Fence, FencingToken, Guard};
pub(crate) use line::{Place, Turn};
pub use multi::{MultiGuard, MultiLock};
pub use mutex::Mutex;
pub use read_write::{ReadWriteLock, WriteGuard};
pub use semaphore::Semaphore;
pub use simple::SimpleLock;

/// Whose names the znodes of a lock have.
///
/// Locks of this crate understand the names of both. Of the others, Curator understands its own alone; kazoo understands
/// Curator's when it is told to (`extra_lock_patterns=["-lock-"]`). So [`Layout::Curator`] is the one that all can share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `_c_<GUID>-lock-0000000000`.
    #[default]
    Curator,
    /// `<GUID>__lock__0000000000`.
    Kazoo,
}

//! What a member is at the moment.

mod following;
mod joining;
mod leading;

pub(crate) use following::Following;
pub(crate) use joining::Joining;
pub(crate) use leading::{HandOver, Inbox, Leading};

/// The role of a member, with all that ends with the role.
pub(crate) enum Role {
    /// The last role is over, the writes of log and epochs are awaited.
    Leaving,
    Looking,
    /// A leader is known and is being connected to.
    Joining(Joining),
    Following(Box<Following>),
    Leading(Box<Leading>),
    /// The process is about to end.
    Stopped,
}

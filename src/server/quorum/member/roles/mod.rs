//! The role of a member at the moment, and the data that ends with it.

mod following;
mod joining;
mod leading;

pub(crate) use following::Following;
pub(crate) use joining::Joining;
pub(crate) use leading::{HandOver, Inbox, Leading};

/// The role of a member, with all data that ends with the role.
pub(crate) enum Role {
    /// The last role is over; the writes of log and epochs under way are awaited.
    Leaving,
    Looking,
    /// A leader is known, and this server connects to it.
    Joining(Joining),
    Following(Box<Following>),
    Leading(Box<Leading>),
    /// The process is about to end; this server takes no role any more.
    Stopped,
}

//! Which ACLs the versions of znodes carry: a count for each number, so that a list nobody carries can be freed.
//!
//! A version counts from when it is made until its memory is given back, which is after every reader has passed a
//! quiescent point: a number without a count is one that no reader has before its eyes.

use crate::acl::AclId;

/// How many versions carry each ACL; the writer's.
#[derive(Debug, Default)]
pub(crate) struct AclNames {
    /// By number.
    counts: Vec<u32>,
    /// Numbers that were carried and are not, or were not a moment ago.
    lost: Vec<AclId>,
}

impl AclNames {
    /// Whether a version carries it. [`AclId::OPEN`] is not counted.
    pub(crate) fn carry(&self, acl: AclId) -> bool {
        self.counts.get(acl.0 as usize).is_some_and(|count| *count > 0)
    }

    /// The numbers whose last version has gone since the last call; some may have another by now.
    pub(crate) fn take_lost(&mut self) -> std::vec::Drain<'_, AclId> {
        self.lost.drain(..)
    }

    /// A version is made.
    #[inline]
    pub(super) fn keep(&mut self, acl: AclId) {
        if acl != AclId::OPEN {
            self.count(acl);
        }
    }

    fn count(&mut self, acl: AclId) {
        let place = acl.0 as usize;
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += 1;
    }

    /// A version's memory is given back. Whoever takes a whole tree apart has counted nothing, and counts nothing here.
    #[inline]
    pub(super) fn release(&mut self, acl: AclId) {
        if acl == AclId::OPEN {
            return;
        }
        if let Some(count) = self.counts.get_mut(acl.0 as usize).filter(|count| **count > 0) {
            *count -= 1;
            if *count == 0 {
                self.lost.push(acl);
            }
        }
    }
}

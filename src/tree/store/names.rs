//! Which ACLs the versions of znodes have: a count for each number, so that a list that no version has can be freed.
//!
//! A version counts until its memory is freed, after every reader has passed a quiescent point: so no reader looks at a
//! version with a number whose count is 0.

use crate::acl::AclId;

/// How many versions have each ACL. Writer only.
#[derive(Debug, Default)]
pub(crate) struct AclNames {
    /// By number.
    counts: Vec<u32>,
    /// Numbers whose count went down to 0; some may have a version again.
    lost: Vec<AclId>,
}

impl AclNames {
    /// Whether a version has this ACL. [`AclId::OPEN`] is not counted.
    pub(crate) fn carry(&self, acl: AclId) -> bool {
        self.counts.get(acl.0 as usize).is_some_and(|count| *count > 0)
    }

    /// Takes the numbers whose last version was freed since the last call; some may have another version by now.
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

    /// A version's memory is freed. When a whole tree is dropped, its versions are not counted here.
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

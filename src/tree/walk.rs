//! A walk over everything below a znode, parents before children, a slice at a time.
//!
//! Between two slices any number of quiescent points may pass; each slice is given a view of the same zxid, or of the
//! head while nothing changes. Snapshots are written and subtrees are counted by it.

use super::path;
use super::store::{Cursor, View, Znode};
use crate::cost::Cost;

/// Where the walk stands.
#[derive(Debug, Default)]
pub struct Walk {
    /// Znodes whose children are still to be shown; the last one is being listed.
    open: Vec<Box<[u8]>>,
    cursor: Cursor,
}

impl Walk {
    /// A walk over everything below `top` (in stored form), which itself is not shown.
    pub fn below(top: &[u8]) -> Self {
        Walk { open: vec![top.into()], cursor: Cursor::default() }
    }

    /// Shows more znodes until the view's reader has spent `budget` on it, at most one segment of a child set above it, and
    /// no less than a segment. Returns whether there is more.
    pub fn slice(&mut self, view: &View<'_>, budget: Cost, show: &mut impl FnMut(&Znode<'_>)) -> bool {
        let begun = view.meter().reading();
        while let Some(parent) = self.open.pop() {
            let mut child = parent.to_vec();
            if child.last() != Some(&b'/') {
                child.push(b'/');
            }
            let stem = child.len();
            // A child is found in the set, put together, and looked up.
            let each = Cost::ZNODE * 2 + Cost::bytes(3 * stem);
            let max = budget.less(view.meter().reading().less(begun)).over(each).max(1);
            // Names one after another, each behind its end: one allocation for all of them.
            let (mut names, mut ends) = (vec![], vec![]);
            view.list_children(&parent, path::hash(&parent), &mut self.cursor, max, &mut |name| {
                names.extend_from_slice(name);
                ends.push(names.len());
            });
            let mut start = 0;
            for end in &ends {
                child.truncate(stem);
                child.extend_from_slice(&names[start..*end]);
                start = *end;
                view.meter().charge(Cost::bytes(2 * child.len()));
                if let Some(znode) = view.get(&child, path::hash(&child)) {
                    show(&znode);
                    if znode.num_children() > 0 {
                        self.open.push(znode.path().into());
                    }
                }
            }
            if self.cursor.is_done() {
                self.cursor = Cursor::default();
            } else {
                // Goes back on top: what was found below it waits until it is listed to its end.
                self.open.push(parent);
            }
            if view.meter().reading().less(begun) >= budget {
                break;
            }
        }
        !self.open.is_empty()
    }
}

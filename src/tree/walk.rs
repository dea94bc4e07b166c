//! A walk over everything below a znode, parents before children, in slices.
//!
//! Between two slices any number of quiescent points may pass; each slice is given a view of the same zxid, or of the
//! head while nothing changes. Snapshots and the counting of subtrees use it.

use super::path;
use super::store::{Cursor, View, Znode};
use crate::cost::Cost;

/// The place of a walk.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Znodes whose children are still to be shown; the last one is being listed.
    open: Vec<Box<[u8]>>,
    cursor: Cursor,
}

impl Walk {
    /// A walk over everything below `top` (in stored form), which itself is not shown.
    pub(crate) fn below(top: &[u8]) -> Self {
        Walk { open: vec![top.into()], cursor: Cursor::default() }
    }

    /// Shows more znodes until the view's reader has spent `budget`: at least one segment of a child set, and at most
    /// one segment beyond the budget. Returns whether there is more.
    pub(crate) fn slice(&mut self, view: &View<'_>, budget: Cost, show: &mut impl FnMut(&Znode<'_>)) -> bool {
        let begun = view.meter().reading();
        while let Some(parent) = self.open.pop() {
            let mut child = parent.to_vec();
            if child.last() != Some(&b'/') {
                child.push(b'/');
            }
            let stem = child.len();
            // For each child: found in the set, path assembled, looked up.
            let each = Cost::ZNODE * 2 + Cost::bytes(3 * stem);
            let max = budget.less(view.meter().reading().less(begun)).over(each).max(1);
            // All names in one buffer, and where each ends: one allocation for all names.
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
                // The parent goes back on top: the children found so far wait until it is listed completely.
                self.open.push(parent);
            }
            if view.meter().reading().less(begun) >= budget {
                break;
            }
        }
        !self.open.is_empty()
    }
}

//! Garbage: memory that was unlinked and that readers may still look at.
//!
//! Unlinking and freeing are separate steps. The writer unlinks memory that no reader point needs, tags it with the
//! current epoch and puts it here. It is freed when every online reader has announced a later epoch; a reader does that
//! between two turns, when it holds no reference into the tree.
//!
//! `unsafe`: it handles memory that readers may still look at; see the rules in [`super`], which the models, the
//! stress tests and loom hold it to.

use super::queue::Queue;
use super::spare::Spare;

/// One piece of unlinked memory, and the function that frees it.
#[derive(Clone, Copy)]
pub(super) struct Garbage {
    memory: *mut (),
    free: unsafe fn(*mut (), &mut Spare),
}

impl Garbage {
    /// `free` is called with `memory`, once, when no thread looks at it any more.
    pub(super) fn new(memory: *mut (), free: unsafe fn(*mut (), &mut Spare)) -> Garbage {
        Garbage { memory, free }
    }

    /// # Safety
    /// No thread looks at the memory any more, and it is freed this once.
    pub(super) unsafe fn free(self, spare: &mut Spare) {
        // SAFETY: the caller's promise.
        unsafe { (self.free)(self.memory, spare) }
    }
}

/// The writer's queue of garbage, oldest first.
pub(super) struct Limbo {
    queue: Queue<(u64, Garbage)>,
    /// The tag of memory that is retired now. Readers that announce a later epoch cannot have seen this memory linked.
    epoch: u64,
    /// Whether something carries the current tag.
    dirty: bool,
    /// Takes freed memory and gives new memory.
    pub(super) spare: Spare,
}

impl Limbo {
    pub(super) fn new() -> Self {
        Limbo { queue: Queue::new(), epoch: 1, dirty: false, spare: Spare::new() }
    }

    /// Takes memory that was just unlinked.
    pub(super) fn retire(&mut self, garbage: Garbage) {
        self.queue.push_back((self.epoch, garbage));
        self.dirty = true;
    }

    /// Begins a new epoch if the current one has garbage, and returns the epoch.
    pub(super) fn turn(&mut self) -> u64 {
        if self.dirty {
            self.epoch += 1;
            self.dirty = false;
        }
        self.epoch
    }

    /// Frees at most `budget` pieces retired before `seen`, the least epoch that an online reader has announced.
    /// Returns how many it freed.
    ///
    /// # Safety
    /// `seen` was read after the epoch [`Limbo::turn`] returned was published and a full fence.
    pub(super) unsafe fn free(&mut self, seen: u64, budget: usize) -> usize {
        for freed in 0..budget {
            match self.queue.front() {
                Some((tag, garbage)) if tag < seen => {
                    self.queue.pop_front();
                    // SAFETY: every online reader has passed a quiescent point since this was unlinked.
                    unsafe { garbage.free(&mut self.spare) };
                }
                _ => return freed,
            }
        }
        budget
    }

    /// How many pieces wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Takes everything out: the writer is dropped, readers may remain.
    pub(super) fn take(&mut self) -> Vec<Garbage> {
        let mut all = Vec::with_capacity(self.queue.len());
        while let Some((_, garbage)) = self.queue.pop_front() {
            all.push(garbage);
        }
        all
    }
}

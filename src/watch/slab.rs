//! Storage by number that grows in steps: no insertion ever moves what is there, so none takes long.

/// Items in one step of growth.
const CHUNK: usize = 1024;
/// No number.
pub(super) const NIL: u32 = u32::MAX;

#[derive(Debug)]
enum Slot<T> {
    Used(T),
    /// Nothing; the next free place, or [`NIL`].
    Free(u32),
}

/// Items, each under a number that is given to another item once it is removed.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Slot<T>>>,
    free: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { chunks: Vec::new(), free: NIL }
    }
}

impl<T> Slab<T> {
    /// Stores an item and says under which number.
    ///
    /// # Panics
    /// If there are 2^32 - 1 items.
    pub(crate) fn insert(&mut self, item: T) -> u32 {
        if self.free != NIL {
            let at = self.free;
            match std::mem::replace(self.place(at), Slot::Used(item)) {
                Slot::Free(next) => self.free = next,
                Slot::Used(_) => unreachable!("a free place is free"),
            }
            return at;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut().expect("one was pushed if there was none");
        let at = u32::try_from(before + chunk.len()).ok().filter(|&at| at != NIL).expect("fewer than 2^32 - 1 items");
        chunk.push(Slot::Used(item));
        at
    }

    /// Takes an item out.
    ///
    /// # Panics
    /// If there is none under that number.
    pub(crate) fn remove(&mut self, at: u32) -> T {
        let free = self.free;
        match std::mem::replace(self.place(at), Slot::Free(free)) {
            Slot::Used(item) => {
                self.free = at;
                item
            }
            Slot::Free(_) => unreachable!("an item is removed once"),
        }
    }

    fn place(&mut self, at: u32) -> &mut Slot<T> {
        &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: u32) -> &T {
        match &self.chunks[at as usize / CHUNK][at as usize % CHUNK] {
            Slot::Used(item) => item,
            Slot::Free(_) => unreachable!("a number is used while its item is there"),
        }
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        match self.place(at) {
            Slot::Used(item) => item,
            Slot::Free(_) => unreachable!("a number is used while its item is there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again() {
        let mut slab = Slab::default();
        for n in 0..3000u32 {
            assert_eq!(slab.insert(n), n);
        }
        for n in (0..3000).step_by(3) {
            assert_eq!(slab.remove(n), n);
        }
        for n in 0..1000 {
            let at = slab.insert(5000 + n);
            assert!(at.is_multiple_of(3) && at < 3000);
            assert_eq!(slab[at], 5000 + n);
        }
        assert_eq!(slab.insert(1), 3000);
        slab[3000] += 1;
        assert_eq!((slab[3000], slab[1], slab[2]), (2, 1, 2));
    }

    #[test]
    #[should_panic(expected = "removed once")]
    fn nothing_is_removed_twice() {
        let mut slab = Slab::default();
        let at = slab.insert(());
        slab.remove(at);
        slab.remove(at);
    }
}

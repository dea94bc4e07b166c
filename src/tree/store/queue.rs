//! A double-ended queue in chunks.
//!
//! The writer's records and garbage can grow to millions while a reader does not move. A ring buffer that doubles would
//! copy all of them within one create; here growth costs one chunk, whatever the length.

use std::collections::VecDeque;

/// Items of one chunk.
const CHUNK: usize = 512;

/// A queue, first in, first out; the item that was put in last can be taken back.
pub(super) struct Queue<T> {
    chunks: VecDeque<Vec<T>>,
    /// How many items of the first chunk were taken already.
    taken: usize,
    len: usize,
    spare: Option<Vec<T>>,
}

impl<T: Copy> Queue<T> {
    pub(super) fn new() -> Self {
        Queue { chunks: VecDeque::new(), taken: 0, len: 0, spare: None }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push_back(&mut self, item: T) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(item),
            _ => {
                let mut chunk = self.spare.take().unwrap_or_else(|| Vec::with_capacity(CHUNK));
                chunk.push(item);
                self.chunks.push_back(chunk);
            }
        }
        self.len += 1;
    }

    pub(super) fn front(&self) -> Option<T> {
        self.chunks.front()?.get(self.taken).copied()
    }

    pub(super) fn back(&self) -> Option<T> {
        if self.len == 0 { None } else { self.chunks.back()?.last().copied() }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let item = self.front()?;
        self.taken += 1;
        self.len -= 1;
        if self.taken == self.chunks[0].len() {
            self.taken = 0;
            if self.chunks.len() == 1 {
                self.chunks[0].clear();
            } else if let Some(chunk) = self.chunks.pop_front() {
                self.keep(chunk);
            }
        }
        Some(item)
    }

    pub(super) fn pop_back(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let sole = self.chunks.len() == 1;
        let chunk = self.chunks.back_mut()?;
        let item = chunk.pop();
        self.len -= 1;
        if sole && chunk.len() == self.taken {
            chunk.clear();
            self.taken = 0;
        } else if chunk.is_empty()
            && let Some(chunk) = self.chunks.pop_back()
        {
            self.keep(chunk);
        }
        item
    }

    fn keep(&mut self, mut chunk: Vec<T>) {
        chunk.clear();
        self.spare = Some(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    #[test]
    fn behaves_like_a_deque() {
        let mut random = Rng::with_seed(7);
        let (mut queue, mut model) = (Queue::new(), VecDeque::new());
        for step in 0..if cfg!(miri) { 4_000u32 } else { 200_000 } {
            // Long phases of growing and shrinking from either end, so that chunk borders are crossed both ways.
            let grow = (step / 1500) % 2 == 0;
            match random.u8(..8) {
                0..=4 if grow => {
                    queue.push_back(step);
                    model.push_back(step);
                }
                5 | 6 | 0 | 1 => assert_eq!(queue.pop_front(), model.pop_front()),
                2..=4 => assert_eq!(queue.pop_back(), model.pop_back()),
                _ => {
                    queue.push_back(step);
                    model.push_back(step);
                }
            }
            assert_eq!(queue.len(), model.len());
            assert_eq!((queue.front(), queue.back()), (model.front().copied(), model.back().copied()));
        }
    }
}

//! Lists that are gathered, handed over whole, and gathered again: what a shard has for the quorum core, what a group of
//! transactions has for the shards.

use crate::limits;

/// Takes what was gathered. What comes next is likely to become as long, so there is room for it at once, and it does not move
/// a dozen times while it grows; no more than [`limits::ROOM_AHEAD`] all the same.
pub fn take<T>(list: &mut Vec<T>) -> Vec<T> {
    let expected = list.len().min(limits::ROOM_AHEAD / size_of::<T>());
    std::mem::replace(list, Vec::with_capacity(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_as_many_again_but_not_for_very_many() {
        let mut list = vec![7u64; 100];
        let taken = take(&mut list);
        assert_eq!((taken.len(), list.len()), (100, 0));
        assert!((100..200).contains(&list.capacity()), "{}", list.capacity());
        let mut none: Vec<u64> = vec![];
        take(&mut none);
        assert_eq!(none.capacity(), 0);
        let mut long = vec![7u64; limits::ROOM_AHEAD];
        take(&mut long);
        assert!(long.capacity() <= limits::ROOM_AHEAD / 4, "{}", long.capacity());
    }
}

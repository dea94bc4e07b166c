//! Lists that are filled, handed over as a whole, and filled again: a shard's messages to the quorum core, the changes of a
//! group of transactions for the shards.

use crate::limits;

/// Takes the list, and leaves an empty one. The next list will probably become as long, so its memory is reserved at once, and
/// not reallocated a dozen times while the list grows; but no more than [`limits::MAX_RESERVED_BYTES`].
pub(crate) fn take<T>(list: &mut Vec<T>) -> Vec<T> {
    let capacity = list.len().min(limits::MAX_RESERVED_BYTES / size_of::<T>());
    std::mem::replace(list, Vec::with_capacity(capacity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_capacity_is_reserved_again_up_to_a_limit() {
        let mut list = vec![7u64; 100];
        let taken = take(&mut list);
        assert_eq!((taken.len(), list.len()), (100, 0));
        assert!((100..200).contains(&list.capacity()), "{}", list.capacity());
        let mut none: Vec<u64> = vec![];
        take(&mut none);
        assert_eq!(none.capacity(), 0);
        let mut long = vec![7u64; limits::MAX_RESERVED_BYTES];
        take(&mut long);
        assert!(long.capacity() <= limits::MAX_RESERVED_BYTES / 4, "{}", long.capacity());
    }
}

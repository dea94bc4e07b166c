//! Names and data of the items of a queue, as other libraries have them.

use crate::error::{Error, Result};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What Curator's item data begin with.
const VERSION: [u8; 4] = [0, 1, 0, 1];
const ITEM: u8 = 1;
const END: u8 = 2;

/// Whose names and data the items of a queue have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLayout {
    /// Curator's `DistributedQueue`, `DistributedPriorityQueue` and `DistributedDelayQueue`: `queue-0000000000`, and several
    /// items in one znode.
    Curator,
    /// Curator's `SimpleDistributedQueue`: `qn-0000000000`, first in first out.
    Simple,
    /// Kazoo's `LockingQueue`: `entries/entry-100-0000000000`, and locks in `taken`.
    Kazoo,
}

/// Where an item goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// The end.
    Last,
    /// Behind all with this number or a smaller one.
    Priority(i32),
    /// Not before this time since 1970.
    NotBefore(Duration),
}

pub(crate) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl QueueLayout {
    /// What names of items begin with.
    fn start(self) -> &'static str {
        match self {
            QueueLayout::Curator => "queue-",
            QueueLayout::Simple => "qn-",
            QueueLayout::Kazoo => "entry-",
        }
    }

    /// The name of a new item, up to its sequence number.
    pub(crate) fn name(self, rank: Rank) -> Result<String> {
        let start = self.start();
        match (self, rank) {
            (QueueLayout::Kazoo, Rank::Last) => Ok(format!("{start}100-")),
            (QueueLayout::Kazoo, Rank::Priority(priority @ 0..=999)) => Ok(format!("{start}{priority:03}-")),
            (QueueLayout::Kazoo, Rank::Priority(_)) => Err(Error::Misuse("kazoo's priorities are from 0 to 999")),
            (QueueLayout::Curator | QueueLayout::Simple, Rank::Last) => Ok(start.to_owned()),
            // Sorted as text: negative numbers first.
            (QueueLayout::Curator, Rank::Priority(priority)) => {
                Ok(format!("{start}{}{priority:08X}", if priority >= 0 { 1 } else { 0 }))
            }
            (QueueLayout::Curator, Rank::NotBefore(time)) => Ok(format!("{start}|{:08X}|", time.as_millis())),
            (QueueLayout::Simple, Rank::Priority(_)) => Err(Error::Misuse("a simple queue has no priorities")),
            (_, Rank::NotBefore(_)) => Err(Error::Misuse("only a queue of Curator's layout has delays")),
        }
    }

    /// A name without its sequence number: what a new item of the same rank begins with.
    pub(crate) fn prefix(self, name: &str) -> &str {
        let number = self.parts(name).map_or("", |(_, _, number)| number);
        &name[..name.len() - number.len()]
    }

    /// The time of a name in milliseconds, its priority as text, and its sequence number. `None`: it is no item.
    fn parts(self, name: &str) -> Option<(u64, &str, &str)> {
        let rest = name.strip_prefix(self.start())?;
        if let Some((time, number)) = rest.strip_prefix('|').and_then(|rest| rest.split_once('|')) {
            return Some((u64::from_str_radix(time, 16).ok()?, "", number));
        }
        // A sequence number has ten characters, or eleven with its sign.
        let priority = match self {
            QueueLayout::Kazoo => "100-".len(),
            QueueLayout::Curator if rest.len() >= "1".len() + 8 + 10 => "1".len() + 8,
            _ => 0,
        };
        let (priority, number) = rest.split_at_checked(priority)?;
        Some((0, priority, number))
    }

    /// What of these may be taken now, the next one first; and when the next one of the others may be.
    pub(crate) fn sort(self, names: Vec<String>, now: Duration) -> (Vec<String>, Option<Duration>) {
        let mut next: Option<Duration> = None;
        let mut due: Vec<_> = names
            .into_iter()
            .filter_map(|name| {
                let (time, (priority, number)) = self.rank(&name)?;
                let rank = (priority.to_owned(), number);
                match time.checked_sub(now).filter(|left| !left.is_zero()) {
                    None => Some((time, rank, name)),
                    Some(left) => {
                        next = Some(next.map_or(left, |next| next.min(left)));
                        None
                    }
                }
            })
            .collect();
        due.sort();
        (due.into_iter().map(|(_, _, name)| name).collect(), next)
    }

    /// What a name is sorted by: its time, then its priority and its number. `None`: it is no item.
    fn rank(self, name: &str) -> Option<(Duration, (&str, u32))> {
        let (time, priority, number) = self.parts(name)?;
        // After 2^31 items the numbers are negative: as unsigned ones they keep the order.
        let number: i32 = number.parse().ok()?;
        Some((Duration::from_millis(time), (priority, number as u32)))
    }

    /// The data of a znode with these items.
    pub(crate) fn write(self, items: &[&[u8]]) -> Result<Vec<u8>> {
        match (self, items) {
            (QueueLayout::Curator, _) => {
                let mut data = VERSION.to_vec();
                for item in items {
                    data.push(ITEM);
                    let length = i32::try_from(item.len()).map_err(|_| Error::Misuse("the item is too long"))?;
                    data.extend(length.to_be_bytes());
                    data.extend(*item);
                }
                data.push(END);
                Ok(data)
            }
            (_, [item]) => Ok(item.to_vec()),
            _ => Err(Error::Misuse("only a queue of Curator's layout has several items in a znode")),
        }
    }

    /// The items of a znode.
    pub(crate) fn read(self, path: &str, data: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        if self != QueueLayout::Curator {
            return Ok(vec![data]);
        }
        read_items(&data).ok_or_else(|| Error::Foreign {
            path: path.to_owned(),
            problem: "its data are no items of a Curator's queue".to_owned(),
        })
    }
}

/// The items of Curator's data. Lengths are checked before anything is copied.
fn read_items(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = data.strip_prefix(&VERSION)?;
    let mut items = vec![];
    loop {
        match rest.split_first()? {
            (&END, _) => return Some(items),
            (&ITEM, item) => {
                let (length, item) = item.split_first_chunk::<4>()?;
                let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
                items.push(item.get(..length)?.to_vec());
                rest = &item[length..];
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_others() {
        let ms = Duration::from_millis;
        for (layout, rank, name) in [
            (QueueLayout::Curator, Rank::Last, "queue-"),
            (QueueLayout::Curator, Rank::Priority(5), "queue-100000005"),
            (QueueLayout::Curator, Rank::Priority(-1), "queue-0FFFFFFFF"),
            (QueueLayout::Curator, Rank::NotBefore(ms(0x018B_CFE5_6800)), "queue-|18BCFE56800|"),
            (QueueLayout::Simple, Rank::Last, "qn-"),
            (QueueLayout::Kazoo, Rank::Last, "entry-100-"),
            (QueueLayout::Kazoo, Rank::Priority(7), "entry-007-"),
        ] {
            assert_eq!(layout.name(rank).unwrap(), name);
        }
        assert!(QueueLayout::Kazoo.name(Rank::Priority(1000)).is_err());
        assert!(QueueLayout::Simple.name(Rank::Priority(0)).is_err());
        assert!(QueueLayout::Kazoo.name(Rank::NotBefore(ms(1))).is_err());
    }

    #[test]
    fn items_are_sorted() {
        let sort = |layout: QueueLayout, names: &[&str], now| {
            layout.sort(names.iter().map(|name| (*name).to_owned()).collect(), Duration::from_millis(now))
        };
        let names = ["queue-1000000050000000001", "queue-0FFFFFFFF0000000003", "queue-1000000050000000000", "other"];
        let (due, next) = sort(QueueLayout::Curator, &names, 0);
        assert_eq!(due, [names[1], names[2], names[0]]);
        assert_eq!(next, None);
        let names = ["queue-|00000064|0000000000", "queue-|00000032|0000000001", "queue-|00000032|0000000000"];
        let (due, next) = sort(QueueLayout::Curator, &names, 60);
        assert_eq!((due, next), (vec![names[2].to_owned(), names[1].to_owned()], Some(Duration::from_millis(40))));
        assert_eq!(QueueLayout::Curator.prefix(names[0]), "queue-|00000064|");
        assert_eq!(QueueLayout::Curator.prefix("queue-100000005-2147483648"), "queue-100000005");
        assert_eq!(QueueLayout::Kazoo.prefix("entry-100-0000000012"), "entry-100-");
        let names = ["qn--2147483648", "qn-2147483647", "qn-x2"];
        assert_eq!(sort(QueueLayout::Simple, &names, 0).0, [names[1], names[0]], "the number has overflowed");
        let names = ["entry-100-0000000000", "entry-007-0000000009"];
        assert_eq!(sort(QueueLayout::Kazoo, &names, 0).0, [names[1], names[0]]);
    }

    #[test]
    fn data_are_those_of_curator() {
        let data = QueueLayout::Curator.write(&[b"ab", b""]).unwrap();
        assert_eq!(data, [0, 1, 0, 1, 1, 0, 0, 0, 2, b'a', b'b', 1, 0, 0, 0, 0, 2]);
        assert_eq!(read_items(&data).unwrap(), [b"ab".to_vec(), vec![]]);
        for end in 0..data.len() {
            assert_eq!(read_items(&data[..end]), None, "{end} bytes of it");
        }
        assert_eq!(read_items(&[0, 1, 0, 1, 1, 255, 255, 255, 255, 2]), None, "a negative length");
        assert_eq!(read_items(&[0, 1, 0, 1, 1, 127, 255, 255, 255, 2]), None, "a length beyond the end");
        assert!(QueueLayout::Simple.write(&[b"a", b"b"]).is_err());
    }
}

//! Addresses and prefixes of the `ip` scheme, read as leniently as ZooKeeper 3.9 reads them
//! (`IPAuthenticationProvider`): leading zeros and a sign pass, an embedded IPv4 tail in IPv6 does not.

use std::net::IpAddr;

/// An address, IPv4 and IPv6 apart: a prefix of the one never covers the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Address {
    V4(u32),
    V6(u128),
}

impl Address {
    /// Reads an address; `None` if it is none.
    pub(crate) fn parse(text: &[u8]) -> Option<Address> {
        let text = std::str::from_utf8(text).ok()?;
        if text.contains(':') { parse_v6(text).map(Address::V6) } else { parse_v4(text).map(Address::V4) }
    }

    fn bits(self) -> u32 {
        match self {
            Address::V4(_) => 32,
            Address::V6(_) => 128,
        }
    }
}

/// `address` or `address/bits`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Prefix {
    address: Address,
    bits: u32,
}

impl Prefix {
    /// Reads a prefix; `None` where the address or the number of bits is not valid.
    pub(crate) fn parse(text: &[u8]) -> Option<Prefix> {
        let mut parts = text.splitn(2, |&byte| byte == b'/');
        let address = Address::parse(parts.next()?)?;
        let bits = match parts.next() {
            Some(bits) => u32::try_from(std::str::from_utf8(bits).ok()?.parse::<i32>().ok()?).ok()?,
            None => address.bits(),
        };
        (bits <= address.bits()).then_some(Prefix { address, bits })
    }

    /// Whether the address lies in it.
    pub(crate) fn covers(self, address: Address) -> bool {
        match (self.address, address) {
            (Address::V4(a), Address::V4(b)) => (a ^ b).checked_shr(32 - self.bits).unwrap_or(0) == 0,
            (Address::V6(a), Address::V6(b)) => (a ^ b).checked_shr(128 - self.bits).unwrap_or(0) == 0,
            _ => false,
        }
    }
}

fn parse_v4(text: &str) -> Option<u32> {
    let mut parts = text.split('.');
    let mut address = 0;
    for _ in 0..4 {
        // Read as a signed number, as ZooKeeper does: "+1" and "-0" are numbers too.
        let part = parts.next()?.parse::<i32>().ok()?;
        address = address << 8 | u32::from(u8::try_from(part).ok()?);
    }
    parts.next().is_none().then_some(address)
}

fn parse_v6(text: &str) -> Option<u128> {
    let mut halves = text.split("::");
    let (head, tail) = (halves.next()?, halves.next());
    if halves.next().is_some() {
        return None;
    }
    let Some(tail) = tail else {
        let (address, groups) = parse_groups(head)?;
        return (groups == 8).then_some(address);
    };
    let (head, head_groups) = if head.is_empty() { (0, 0) } else { parse_groups(head)? };
    let (tail, tail_groups) = if tail.is_empty() { (0, 0) } else { parse_groups(tail)? };
    if head_groups + tail_groups >= 8 {
        return None;
    }
    Some(head.checked_shl(16 * (8 - head_groups)).unwrap_or(0) | tail)
}

/// Up to eight groups of up to four hex digits: their value, right-aligned, and their number.
fn parse_groups(text: &str) -> Option<(u128, u32)> {
    let (mut address, mut groups) = (0, 0);
    for group in text.split(':') {
        if group.is_empty() || group.len() > 4 || groups == 8 {
            return None;
        }
        // The low 16 bits of a signed number, as ZooKeeper takes them.
        let value = i32::from_str_radix(group, 16).ok()?;
        address = address << 16 | u128::from(value as u16);
        groups += 1;
    }
    Some((address, groups))
}

/// The address as Java prints it, which is what `ip` identities are called everywhere: IPv6 as eight
/// groups without `::`, and IPv4 mapped into IPv6 as IPv4.
pub(super) fn java_name(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|group| format!("{group:x}")).join(":"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn what_is_an_address() {
        for (text, address) in [
            ("127.0.0.1", Some(Address::V4(0x7f00_0001))),
            ("010.0.0.+1", Some(Address::V4(0x0a00_0001))),
            ("::", Some(Address::V6(0))),
            ("::1", Some(Address::V6(1))),
            ("fe80::", Some(Address::V6(0xfe80 << 112))),
            ("1:2:3:4:5:6:7:8", Some(Address::V6(0x0001_0002_0003_0004_0005_0006_0007_0008))),
            ("1:2:3:4:5:6:7::", Some(Address::V6(0x0001_0002_0003_0004_0005_0006_0007_0000))),
            ("", None),
            ("localhost", None),
            ("1.2.3", None),
            ("1.2.3.4.5", None),
            ("1.2.3.", None),
            ("1.2.3.256", None),
            ("1.2.3.-1", None),
            ("1.2.3.99999999999", None),
            (":::", None),
            ("1::2::3", None),
            ("1:2:3:4:5:6:7:8::", None),
            ("1:2:3:4:5:6:7:8:9", None),
            ("1:2:3:4:5:6:7", None),
            ("12345::", None),
            ("g::", None),
            ("::ffff:1.2.3.4", None),
        ] {
            assert_eq!(Address::parse(text.as_bytes()), address, "{text}");
        }
        assert_eq!(Address::parse(b"1.2.3.\xff"), None);
    }

    #[test]
    fn what_is_a_prefix() {
        for good in ["1.2.3.4/0", "1.2.3.4/32", "::/0", "::1/128", "1.2.3.4/+8", "1.2.3.4/-0"] {
            assert!(Prefix::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in ["1.2.3.4/", "1.2.3.4/33", "1.2.3.4/-1", "::/129", "1.2.3.4/8/8", "/8", "1.2.3.4/4294967296"] {
            assert!(Prefix::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn families_never_mix() {
        assert!(!Prefix::parse(b"::/0").unwrap().covers(Address::V4(0)));
        assert!(!Prefix::parse(b"0.0.0.0/0").unwrap().covers(Address::V6(0)));
    }

    #[test]
    fn names_are_java_s() {
        assert_eq!(java_name("::1".parse().unwrap()), "0:0:0:0:0:0:0:1");
        assert_eq!(java_name("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1");
        assert_eq!(java_name("10.0.0.1".parse().unwrap()), "10.0.0.1");
    }

    /// The two addresses agree in their first `bits` bits, bit by bit.
    fn agree(a: &[u8], b: &[u8], bits: usize) -> bool {
        (0..bits).all(|bit| a[bit / 8] >> (7 - bit % 8) & 1 == b[bit / 8] >> (7 - bit % 8) & 1)
    }

    proptest! {
        #[test]
        fn v4_prefixes_by_brute_force(a: [u8; 4], flip in 0usize..33, bits in 0usize..=32) {
            let mut b = a;
            if flip < 32 {
                b[flip / 8] ^= 1 << (7 - flip % 8);
            }
            let prefix = Prefix::parse(format!("{}/{bits}", Ipv4Addr::from(a)).as_bytes()).unwrap();
            let address = Address::parse(Ipv4Addr::from(b).to_string().as_bytes()).unwrap();
            prop_assert_eq!(prefix.covers(address), agree(&a, &b, bits));
        }

        #[test]
        fn v6_prefixes_by_brute_force(a: [u8; 16], flip in 0usize..129, bits in 0usize..=128) {
            let mut b = a;
            if flip < 128 {
                b[flip / 8] ^= 1 << (7 - flip % 8);
            }
            let prefix = Prefix::parse(format!("{}/{bits}", java_name(IpAddr::V6(Ipv6Addr::from(a)))).as_bytes());
            let address = Address::parse(java_name(IpAddr::V6(Ipv6Addr::from(b))).as_bytes());
            // Mapped addresses print as IPv4, where the prefix means other bits: not this test's business.
            prop_assume!(matches!((prefix, address), (Some(Prefix { address: Address::V6(_), .. }), Some(Address::V6(_)))));
            prop_assert_eq!(prefix.unwrap().covers(address.unwrap()), agree(&a, &b, bits));
        }

        #[test]
        fn v6_reads_what_the_standard_library_prints(groups: [u16; 8], zero in 0usize..8, zeros in 0usize..8) {
            let mut groups = groups;
            groups.iter_mut().skip(zero).take(zeros).for_each(|group| *group = 0);
            let address = Ipv6Addr::from(groups);
            prop_assume!(address.to_ipv4().is_none());
            prop_assert_eq!(Address::parse(address.to_string().as_bytes()), Some(Address::V6(u128::from(address))));
        }

        #[test]
        fn no_text_panics(text: Vec<u8>, near in "[0-9a-f:./+-]{0,24}") {
            let _ = (Prefix::parse(&text), Prefix::parse(near.as_bytes()));
        }
    }
}

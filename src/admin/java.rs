//! Values as Java prints them, since scripts have been written against that.

use jiff::Timestamp;
use std::net::{IpAddr, SocketAddr};

/// A fraction as `Double.toString` has it: at least one decimal, powers of ten outside 0.001 to 10^7.
pub(crate) fn double(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, power)) if digits.contains('.') => format!("{digits}E{power}"),
        Some((digits, power)) => format!("{digits}.0E{power}"),
        None => text,
    }
}

/// A peer as `InetSocketAddress.toString` has it when no name is known.
pub(super) fn address(peer: SocketAddr) -> String {
    match peer.ip().to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}:{}", peer.port()),
        IpAddr::V6(ip) => {
            let groups: Vec<_> = ip.segments().iter().map(|group| format!("{group:x}")).collect();
            format!("/[{}]:{}", groups.join(":"), peer.port())
        }
    }
}

/// A moment (milliseconds since 1970) as `Date.toString` has it, in UTC: `Sat Nov 21 14:09:29 UTC 2026`.
pub(crate) fn date(ms: i64) -> String {
    // Years have four digits: later moments are the last of them.
    let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    moment.strftime("%a %b %d %H:%M:%S UTC %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles() {
        let shown = [0.0, 1.0, 0.25, 12.3456, 0.001, 0.0001, 0.0005, 9_999_999.5, 12_345_678.0, 1e7].map(double);
        assert_eq!(
            shown,
            ["0.0", "1.0", "0.25", "12.3456", "0.001", "1.0E-4", "5.0E-4", "9999999.5", "1.2345678E7", "1.0E7"]
        );
    }

    #[test]
    fn addresses() {
        assert_eq!(address("127.0.0.1:4711".parse().unwrap()), "/127.0.0.1:4711");
        assert_eq!(address("[::ffff:10.0.0.1]:1".parse().unwrap()), "/10.0.0.1:1");
        assert_eq!(address("[::1]:2181".parse().unwrap()), "/[0:0:0:0:0:0:0:1]:2181");
    }

    #[test]
    fn dates() {
        assert_eq!(date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(date(951_782_400_000), "Tue Feb 29 00:00:00 UTC 2000");
        assert_eq!(date(1_795_270_169_999), "Sat Nov 21 14:09:29 UTC 2026");
        assert_eq!(date(-1), "Wed Dec 31 23:59:59 UTC 1969");
        assert_eq!(date(4_107_542_399_000), "Sun Feb 28 23:59:59 UTC 2100");
        assert_eq!(date(4_107_542_400_000), "Mon Mar 01 00:00:00 UTC 2100");
    }
}

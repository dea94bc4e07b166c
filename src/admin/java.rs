//! Values as Java prints them, since scripts have been written against that.

use std::net::{IpAddr, SocketAddr};

/// A fraction as `Double.toString` has it: at least one decimal, powers of ten outside 0.001 to 10^7.
pub fn double(value: f64) -> String {
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
pub fn address(peer: SocketAddr) -> String {
    match peer.ip().to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}:{}", peer.port()),
        IpAddr::V6(ip) => {
            let groups: Vec<_> = ip.segments().iter().map(|group| format!("{group:x}")).collect();
            format!("/[{}]:{}", groups.join(":"), peer.port())
        }
    }
}

/// A moment (milliseconds since 1970) as `Date.toString` has it, in UTC: `Sat Nov 21 14:09:29 UTC 2026`.
pub fn date(ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month as usize - 1],
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar. Counted in eras of 400
/// years that begin on the first of March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let since_march_0000 = days + 719_468;
    let era = since_march_0000.div_euclid(146_097);
    let day_of_era = since_march_0000.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
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

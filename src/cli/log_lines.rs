//! Lines of the log on their way out: each is one line and not too long, and of one kind there are only so many.
//!
//! Whoever can connect can cause lines (a wrong password, a frame that is too long), as fast as he likes and with words of his own in
//! them. So it is here, where all of them pass, that a kind of line, which is a place in the source, is limited: a number at once, then
//! one a second, which says how many were left out before it. And here control characters are made visible, whatever
//! was forgotten where the line was made.

use crate::admin::LOG_LINES_LEFT_OUT;
use crate::limits;
use crate::runtime::clock::Clocks;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use tracing::Metadata;
use tracing::callsite::Identifier;
use tracing_subscriber::fmt::MakeWriter;

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Text,
    /// With escape sequences of our own for colours. What others have put into it is without them already.
    Colored,
    Json,
}

/// Takes whole lines and passes on what may be seen of them.
pub(crate) struct Lines<W> {
    form: Form,
    clocks: Clocks,
    quiet: Mutex<Quiet<Identifier>>,
    out: W,
}

impl<W> Lines<W> {
    /// `out` makes what takes a line.
    pub(crate) fn new(form: Form, out: W) -> Self {
        Lines { form, clocks: Clocks::start(), quiet: Mutex::default(), out }
    }
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Lines<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { form: self.form, out: Some(self.out.make_writer()), left_out: 0 }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        let now_ms = self.clocks.now().mono_ms;
        // A line that fails to be counted is still a line.
        let taken = self.quiet.lock().map_or(Some(0), |mut quiet| quiet.take(meta.callsite(), now_ms));
        let Some(left_out) = taken else {
            LOG_LINES_LEFT_OUT.fetch_add(1, Relaxed);
            return Line { form: self.form, out: None, left_out: 0 };
        };
        Line { form: self.form, out: Some(self.out.make_writer_for(meta)), left_out }
    }
}

/// Takes one line, in one call; nothing comes of one that is left out.
#[expect(unreachable_pub, reason = "a public trait's associated type")]
pub struct Line<W> {
    form: Form,
    out: Option<W>,
    left_out: u64,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(out) = &mut self.out {
            out.write_all(&fit_to_be_seen(line, self.form, self.left_out))?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

fn fit_to_be_seen(line: &[u8], form: Form, left_out: u64) -> Vec<u8> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let length = line.len();
    // Where a character begins: what is cut in its middle is no text.
    let cut = (0..=limits::LOG_LINE.min(length)).rev().find(|at| *at == length || line[*at] & 0xc0 != 0x80);
    let (begin, is_whole) = (&line[..cut.unwrap_or_default()], length <= limits::LOG_LINE);
    let mut out = Vec::with_capacity(begin.len() + 64);
    if form == Form::Json && !is_whole {
        // Half of an object is none: what can be told of it is told in one that is whole.
        let begin = begin.escape_ascii().to_string().replace('\\', "\\\\");
        out.extend_from_slice(
            format!(r#"{{"level":"WARN","message":"a line too long","bytes":{length},"begin":""#).as_bytes(),
        );
        out.extend_from_slice(&begin.as_bytes()[..begin.len().min(limits::SHOWN_BYTES) & !1]);
        out.extend_from_slice(b"\"}");
    } else {
        let text = String::from_utf8_lossy(begin);
        let mut rest = &*text;
        while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t' && (c != '\x1b' || form != Form::Colored))
        {
            let control = rest[at..].chars().next().unwrap_or_default();
            out.extend_from_slice(&rest.as_bytes()[..at]);
            out.extend_from_slice(control.escape_default().to_string().as_bytes());
            rest = &rest[at + control.len_utf8()..];
        }
        out.extend_from_slice(rest.as_bytes());
        if !is_whole {
            out.extend_from_slice(format!("... ({length} bytes)").as_bytes());
        }
    }
    match form {
        _ if left_out == 0 => {}
        Form::Json => {
            out.pop();
            out.extend_from_slice(format!(r#","left_out":{left_out}}}"#).as_bytes());
        }
        Form::Text | Form::Colored => out.extend_from_slice(format!(" (left out: {left_out} more like it)").as_bytes()),
    }
    out.push(b'\n');
    out
}

/// How many lines of each kind there may be: [`limits::LOG_BURST`] at once, then one each [`limits::LOG_EVERY_MS`].
#[derive(Debug)]
struct Quiet<K>(HashMap<K, Kind>);

#[derive(Debug)]
struct Kind {
    /// How many more there may be at once.
    room: i64,
    /// Until when that was reckoned.
    since_ms: i64,
    left_out: u64,
}

impl<K> Default for Quiet<K> {
    fn default() -> Self {
        Quiet(HashMap::new())
    }
}

impl<K: std::hash::Hash + Eq> Quiet<K> {
    /// Whether there may be a line of this kind now; if so, how many were left out since the last one.
    fn take(&mut self, kind: K, now_ms: i64) -> Option<u64> {
        let kind = self.0.entry(kind).or_insert(Kind { room: limits::LOG_BURST, since_ms: now_ms, left_out: 0 });
        let more = (now_ms - kind.since_ms) / limits::LOG_EVERY_MS;
        kind.room = kind.room.saturating_add(more).min(limits::LOG_BURST);
        kind.since_ms += more * limits::LOG_EVERY_MS;
        if kind.room == 0 {
            kind.left_out += 1;
            return None;
        }
        kind.room -= 1;
        Some(std::mem::take(&mut kind.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::jute::OpCode;
    use crate::jute::wire::{put_bytes, put_int};
    use crate::sim::server::SimServer;
    use std::sync::Arc;

    #[test]
    fn a_number_at_once_then_one_a_second_that_tells_of_the_others() {
        let mut quiet = Quiet::default();
        let taken = (0..10_000).filter(|_| quiet.take("a", 5).is_some()).count();
        assert_eq!(taken as i64, limits::LOG_BURST);
        assert_eq!(quiet.take("b", 5), Some(0), "another kind has its own");
        assert_eq!(quiet.take("a", 5 + limits::LOG_EVERY_MS), Some(10_000 - limits::LOG_BURST as u64));
        assert_eq!(quiet.take("a", 5 + limits::LOG_EVERY_MS), None);
        let later_ms = 5 + 3 * limits::LOG_BURST * limits::LOG_EVERY_MS;
        assert_eq!((quiet.take("a", later_ms), quiet.take("a", later_ms)), (Some(1), Some(0)));
        let taken = (0..10_000).filter(|_| quiet.take("a", later_ms).is_some()).count();
        assert_eq!(taken as i64, limits::LOG_BURST - 2, "what was not used does not add up");
    }

    #[test]
    fn a_line_is_one_line_of_its_form() {
        let shown = |line: &[u8], form, left_out| String::from_utf8(fit_to_be_seen(line, form, left_out)).unwrap();
        assert_eq!(shown("a é\n".as_bytes(), Form::Text, 0), "a é\n");
        assert_eq!(
            shown("a\nb\r\x1b[2Jc\u{9b}\n".as_bytes(), Form::Text, 2),
            "a\\nb\\r\\u{1b}[2Jc\\u{9b} (left out: 2 more like it)\n"
        );
        assert_eq!(shown(b"\x1b[31ma\nb\x1b[0m\n", Form::Colored, 0), "\x1b[31ma\\nb\x1b[0m\n");
        assert_eq!(shown(b"{\"a\":1}\n", Form::Json, 3), "{\"a\":1,\"left_out\":3}\n");
        for form in [Form::Text, Form::Colored, Form::Json] {
            // Of characters that are cut in their middle wherever one cuts.
            let long = shown(format!("x{}\n", "日".repeat(1 << 20)).as_bytes(), form, 1);
            assert!(long.len() < limits::LOG_LINE + 100 && long.lines().count() == 1, "{} bytes", long.len());
            assert_eq!(
                form == Form::Json,
                long.starts_with("{\"level\"") && long.ends_with("\",\"left_out\":1}\n"),
                "{long}"
            );
        }
    }

    /// What 10 000 attacks of each kind leave in the log: of every kind so many lines, and in none of them what a terminal would obey.
    #[test]
    fn whoever_attacks_fills_no_log_and_writes_none_of_his_own_into_it() {
        const ATTACKS: usize = 10_000;
        let written = Arc::new(Mutex::new(vec![]));
        let to = written.clone();
        struct Out(Arc<Mutex<Vec<u8>>>);
        impl Write for Out {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::new(Form::Text, move || Out(to.clone()));
        let subscriber = tracing_subscriber::fmt().with_writer(lines).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut server = SimServer::new(1 << 20);
            let mut auth = vec![];
            put_int(&mut auth, 0);
            put_bytes(
                &mut auth,
                format!("{}\x1b]0;mine\x07\n2026 ERROR all is lost\r\u{9b}2J{}", "no", "!".repeat(2000)).as_bytes(),
            );
            put_bytes(&mut auth, b"x");
            for attack in 0..ATTACKS {
                let (conn, session) = server.connect(SessionId::NONE, 2000);
                match attack % 3 {
                    0 => server.request(conn, -4, OpCode::Auth, &auth),
                    1 => server.shard.received(conn, &[0xff; 4]),
                    _ => {
                        server.greet(session, 2000, i64::MAX, None);
                    }
                }
                server.settle();
                server.shard.disconnected(conn);
            }
        });
        let written = written.lock().unwrap();
        let text = std::str::from_utf8(&written).unwrap();
        for line in text.lines() {
            assert!(!line.contains(char::is_control) && line.len() <= 512, "{line}");
        }
        for kind in ["authentication failed", "frame length out of range", "newer state"] {
            let count = text.lines().filter(|line| line.contains(kind)).count() as i64;
            // A few more if the attacks take some seconds.
            assert!((limits::LOG_BURST..2 * limits::LOG_BURST).contains(&count), "{kind}: {count} lines");
        }
    }
}

//! The secure port: who comes in, who does not, and what the server says of it. The stores are those of `tests/stores/make`.
//!
//! `CORRAL_TEST_EDGE` runs one edge only.

mod support;
#[path = "tls/tunnel.rs"]
mod tunnel;

use rustls::version::{TLS12, TLS13};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use support::client::{Connection, four_letter_word};
use support::server::{Server, Target, free_port};
use support::wire::{self, Acl, Request, code};
use support::{Scratch, wait_for};
use tunnel::store;

/// The subject of the client's certificate, as Java spells it.
const SUBJECT: &str = "CN=client,O=Corral";
const PASSWORD: &str = "changeit";

fn corrals() -> impl Iterator<Item = Target> {
    Target::all().into_iter().filter(|target| !target.is_zookeeper())
}

/// The lines of a secure port at this number, with more behind them.
fn lines(port: u16, more: &[&str]) -> Vec<String> {
    let file = |name: &str| store(name).display().to_string();
    let mut lines = vec![
        format!("secureClientPort={port}"),
        "secureClientPortAddress=127.0.0.1".to_owned(),
        format!("ssl.keyStore.location={}", file("server.p12")),
        format!("ssl.keyStore.password={PASSWORD}"),
        format!("ssl.trustStore.location={}", file("clients.jks")),
        format!("ssl.trustStore.password={PASSWORD}"),
        "4lw.commands.whitelist=*".to_owned(),
    ];
    lines.extend(more.iter().map(|line| (*line).to_owned()));
    lines
}

struct Secure {
    server: Server,
    address: SocketAddr,
    _scratch: Scratch,
}

fn serve(target: Target, more: &[&str]) -> Secure {
    let scratch = Scratch::new();
    let port = free_port();
    let lines = lines(port, more);
    let server = Server::start(target, scratch.path(), &lines.iter().map(String::as_str).collect::<Vec<_>>());
    Secure { server, address: SocketAddr::from(([127, 0, 0, 1], port)), _scratch: scratch }
}

fn with_acl(path: &str, acls: &[Acl]) -> Request {
    wire::create_as(wire::op::CREATE, path, Some(b"secret"), Some(acls), 0)
}

#[test]
fn a_client_is_who_its_certificate_says() {
    for target in corrals() {
        let Secure { server, address, _scratch } = serve(target, &[]);
        for (version, path) in [(&TLS13, "/thirteen"), (&TLS12, "/twelve")] {
            let tunnel = tunnel::open(address, tunnel::client(Some("client.pem"), &[version]));
            let mut client = Connection::new_session(tunnel, 10_000).expect("a session by TLS");
            let who = client.must(&wire::who_am_i());
            assert!(who.windows(SUBJECT.len()).any(|window| window == SUBJECT.as_bytes()), "{target:?} {who:?}");
            client.must(&with_acl(path, &[Acl::new(31, "x509", SUBJECT)]));
            // `auth` is whoever has proved anything.
            client.must(&with_acl(&format!("{path}/auth"), &[Acl::new(31, "auth", "")]));
            let large = vec![7; 900_000];
            client.must(&wire::set_data(path, Some(&large), -1));
            let got = client.must(&wire::get_data(path, false));
            assert!(got.windows(1000).any(|window| window == &large[..1000]) && got.len() > large.len());
            for _ in 0..1000 {
                client.push(&wire::get_data(&format!("{path}/auth"), false));
            }
            client.flush().expect("they are sent");
            for _ in 0..1000 {
                assert_eq!(client.next_reply().expect("each is answered").err, code::OK);
            }
            let mut plain = Connection::new_session(server.address, 10_000).expect("a session without TLS");
            for path in [path.to_owned(), format!("{path}/auth")] {
                let err = plain.call(&wire::get_data(&path, false)).expect("a reply").err;
                assert_eq!(err, code::NO_AUTH, "{target:?} {path}");
            }
            // The scheme is nothing that a client can claim.
            let err = plain.call(&wire::auth("x509", SUBJECT.as_bytes())).expect("a reply").err;
            assert_eq!(err, code::AUTH_FAILED, "{target:?}");
            client.close().expect("an orderly end");
        }
    }
}

#[test]
fn who_shows_no_trusted_certificate_does_not_come_in() {
    let target = corrals().next().expect("an edge");
    let Secure { mut server, address, _scratch } = serve(target, &[]);
    for shows in [None, Some("revoked.pem")] {
        for version in [&TLS13, &TLS12] {
            let config = tunnel::client(shows, &[version]);
            // In TLS 1.3 a client's part is over before the server has looked at its certificate.
            let refused = tunnel::connect(address, &config).and_then(|mut stream| {
                stream.write_all(b"ruok")?;
                let mut answer = vec![];
                stream.read_to_end(&mut answer).map(|_| answer)
            });
            assert!(refused.is_err(), "{shows:?} {version:?}: {refused:?}");
        }
    }
    // A client without TLS, and one that says nothing sensible.
    for said in [b"ruok".as_slice(), &[0, 0, 0, 44, 0, 0, 0, 0, 1, 2, 3], &[0x16, 3, 1, 0xff, 0xff, 0, 0, 0]] {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        stream.write_all(said).expect("it is sent");
        let mut answer = vec![];
        let outcome = stream.read_to_end(&mut answer);
        let closed = outcome.is_ok() || outcome.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        assert!(closed && !answer.starts_with(b"imok"), "{said:?} was answered {answer:?}");
    }
    assert!(server.is_running());
    let known = tunnel::open(address, tunnel::client(Some("client.pem"), &[&TLS13]));
    assert_eq!(four_letter_word(known, "ruok").expect("an answer"), "imok");
    assert!(server.log().contains("a TLS handshake failed"), "{}", server.log());
}

#[test]
fn a_certificate_is_asked_for_as_clientauth_says() {
    let target = corrals().next().expect("an edge");
    for (auth, without, with_a_wrong_one) in [("want", true, false), ("none", true, true)] {
        let Secure { server: _server, address, _scratch } = serve(target, &[&format!("ssl.clientAuth={auth}")]);
        for (shows, comes_in) in [(None, without), (Some("revoked.pem"), with_a_wrong_one), (Some("client.pem"), true)]
        {
            let tunnel = tunnel::open(address, tunnel::client(shows, &[&TLS13]));
            let answer = four_letter_word(tunnel, "ruok");
            let is_in = answer.as_ref().is_ok_and(|answer| answer == "imok");
            assert_eq!(is_in, comes_in, "{auth} {shows:?}: {answer:?}");
        }
    }
}

#[test]
fn the_super_user_is_the_one_whose_certificate_says_so() {
    let target = corrals().next().expect("an edge");
    for (subject, is_super) in [(SUBJECT, true), ("CN=client,O=Corral ", false), ("CN=client", false)] {
        let line = format!("X509AuthenticationProvider.superUser={subject}");
        let Secure { server, address, _scratch } = serve(target, &[&line]);
        let mut other = Connection::new_session(server.address, 10_000).expect("a session");
        other.must(&wire::auth("digest", b"a:b"));
        other.must(&with_acl("/others", &[Acl::new(31, "auth", "")]));
        let tunnel = tunnel::open(address, tunnel::client(Some("client.pem"), &[&TLS13]));
        let mut client = Connection::new_session(tunnel, 10_000).expect("a session by TLS");
        let err = client.call(&wire::get_data("/others", false)).expect("a reply").err;
        // A line ends with its last letter: blanks behind it do not count in a file of this kind.
        let is_super = is_super || subject.trim_end() == SUBJECT;
        assert_eq!(err == code::OK, is_super, "{subject:?}: {err}");
    }
}

/// More silent connections than handshakes are done at a time, and they are closed after their time.
#[test]
fn strangers_who_say_nothing_keep_nobody_out() {
    let target = corrals().next().expect("an edge");
    let more = ["maxClientCnxns=0", "ssl.handshakeDetectionTimeoutMillis=3000"];
    let Secure { server: _server, address, _scratch } = serve(target, &more);
    let mut silent: Vec<TcpStream> = (0..1_100).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    let begun = Instant::now();
    let tunnel = tunnel::open(address, tunnel::client(Some("client.pem"), &[&TLS13]));
    let mut client = Connection::new_session(tunnel, 30_000).expect("a session beside them");
    client.must(&wire::create("/here", b"", 0));
    for stream in [0, 700, 1_099].map(|at| &silent[at]) {
        let mut stream = stream;
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        let outcome = stream.read(&mut [0; 1]);
        assert!(!matches!(outcome, Ok(1)), "nothing was said to it");
        assert!(outcome.is_ok() || outcome.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "they were closed, and not given up by this test");
    silent.clear();
    client.must(&wire::get_data("/here", false));
}

/// Each line, what the server says when it refuses to start, and never the password.
#[test]
fn what_cannot_be_secured_is_refused_by_name() {
    let target = corrals().next().expect("an edge");
    let file = |name: &str| store(name).display().to_string();
    let cases = [
        ("ssl.keyStore.password=wrong-one".to_owned(), "the password is wrong"),
        ("ssl.trustStore.password=wrong-one".to_owned(), "the password is wrong"),
        (format!("ssl.keyStore.location={}", file("trust.p12")), "it has no private key"),
        (format!("ssl.keyStore.location={}", file("nobody.p12")), "No such file"),
        (format!("ssl.keyStore.location={}", file("server.bcfks")), "(.jks, .pem, .p12)"),
        ("ssl.keyStore.type=BCFKS".to_owned(), "expected JKS, PEM or PKCS12"),
        ("ssl.ciphersuites=TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256".to_owned(), "is not supported: the suites are"),
        ("ssl.enabledProtocols=TLSv1.1".to_owned(), "TLSv1.2 and TLSv1.3 are"),
        ("ssl.ocsp=true".to_owned(), "corral.ssl.crlPath"),
        ("ssl.crl=true".to_owned(), "corral.ssl.crlPath"),
        ("ssl.clientHostnameVerification=true".to_owned(), "no name is looked up"),
        ("ssl.context.supplier.class=a.B".to_owned(), "ssl.keyStore.location"),
        ("ssl.keyStore.location=".to_owned(), "ssl.keyStore.location"),
    ];
    for (line, said) in cases {
        let scratch = Scratch::new();
        let lines = lines(free_port(), &[&line]);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut server = Server::prepare(target, scratch.path(), &lines);
        server.spawn();
        let (answers, status) = server.answers_or_ends();
        let log = server.log();
        assert!(!answers && status.and_then(|status| status.code()) == Some(2), "{line}: {log}");
        assert!(log.contains(said) && log.contains(line.split('=').next().unwrap_or_default()), "{line}: {log}");
        assert!(!log.contains(PASSWORD) && !log.contains("wrong-one"), "{line}: {log}");
        assert!(!server.data_directory().join("server.lock").exists(), "{line}: nothing was written");
    }
}

#[test]
fn a_password_may_stand_in_a_file() {
    let target = corrals().next().expect("an edge");
    let scratch = Scratch::new();
    let file = scratch.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
    let line = format!("ssl.keyStore.passwordPath={}", file.display());
    let Secure { server, address, _scratch } = serve(target, &["ssl.keyStore.password=wrong-one", &line]);
    let known = tunnel::open(address, tunnel::client(Some("client.pem"), &[&TLS13]));
    assert_eq!(four_letter_word(known, "ruok").expect("an answer"), "imok");
    let conf = four_letter_word(server.address, "conf").expect("an answer");
    assert!(!conf.contains(PASSWORD) && !conf.contains("wrong-one"), "{conf}");
    let log = wait_for(Duration::from_secs(30), || Some(server.log()).filter(|log| log.contains("serving")));
    assert!(log.is_some_and(|log| !log.contains(PASSWORD) && !log.contains("wrong-one")));
}

//! TLS for clients that have none: a port of this machine whose connections go on to a server encrypted.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where the stores of `tests/stores/make` are.
pub fn store(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores").join(name)
}

/// A client that trusts the authority of the stores, and shows the certificate of this PEM file, if any.
pub fn client(shows: Option<&str>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(store("authority.pem")).expect("a certificate")).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
    let builder = builder.with_root_certificates(roots);
    let Some(name) = shows else { return Arc::new(builder.with_no_client_auth()) };
    let chain = CertificateDer::pem_file_iter(store(name)).expect("a file").map(|read| read.expect("a certificate"));
    let key = PrivateKeyDer::from_pem_file(store(name)).expect("a key");
    Arc::new(builder.with_client_auth_cert(chain.collect(), key).expect("a key for its certificate"))
}

/// One connection by TLS. The handshake is done when this returns, as far as this side is concerned.
pub fn connect(server: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(session, stream))
}

/// The port of a tunnel to a server. Each connection to it is one to the server; it ends when either side does.
pub fn open(server: SocketAddr, config: Arc<ClientConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for plain in listener.incoming() {
            let (Ok(plain), config) = (plain, config.clone()) else { return };
            std::thread::spawn(move || {
                if let Ok(encrypted) = connect(server, &config) {
                    // What ends it is the end of either side.
                    let _ = carry(plain, encrypted);
                }
            });
        }
    });
    address
}

/// Carries bytes both ways until one side ends.
fn carry(mut plain: TcpStream, mut encrypted: StreamOwned<ClientConnection, TcpStream>) -> io::Result<()> {
    plain.set_nonblocking(true)?;
    plain.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut is_idle = true;
        match plain.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                is_idle = false;
                // Both sides may be busy sending: what comes meanwhile is in the socket's buffers.
                encrypted.sock.set_nonblocking(false)?;
                encrypted.write_all(&buffer[..n])?;
                encrypted.flush()?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        encrypted.sock.set_nonblocking(true)?;
        match encrypted.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                is_idle = false;
                plain.set_nonblocking(false)?;
                plain.write_all(&buffer[..n])?;
                plain.set_nonblocking(true)?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if is_idle {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

//! A log in which anything has been changed: a start finds a state that there was, or says what is wrong. It never shows one
//! that there never was.

#![no_main]

use arbitrary::Arbitrary;
use corral::ids::{SessionId, Zxid};
use corral::jute::OpCode;
use corral::server::message::Clock;
use corral::sim::bodies;
use corral::sim::disk::SimDisk;
use corral::sim::server::{DIR, SimServer};
use corral::storage::disk::Disk;
use corral::storage::log::segment;
use corral_fuzz::{lone, options, settle};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

#[derive(Arbitrary, Debug)]
struct Damage {
    segment: u8,
    offset: u32,
    bytes: Vec<u8>,
    is_xor: bool,
}

/// A disk as a server left it, and the tree's digest behind every transaction.
struct Template {
    disk: SimDisk,
    digests: BTreeMap<Zxid, u64>,
}

// SAFETY: libFuzzer runs a target on one thread; the disk is copied before it is used, and never touched itself.
unsafe impl Sync for Template {}
// SAFETY: as above.
unsafe impl Send for Template {}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let disk = SimDisk::new();
        let mut digests = BTreeMap::new();
        let mut note = |server: &SimServer| {
            let state = server.quorum.state();
            digests.insert(state.head(), state.digest());
        };
        for round in 0..3 {
            let mut server = lone(&disk);
            note(&server);
            let conn = server.accept(SessionId::NONE, 2000, 0);
            settle(&mut server);
            note(&server);
            for n in 0..6 {
                let body = bodies::create(format!("/n{round}-{n}").as_bytes(), &vec![n; 700 * usize::from(n)], 0);
                server.request(conn, i32::from(n), OpCode::Create, &body);
                settle(&mut server);
                note(&server);
            }
        }
        disk.fold();
        Template { disk, digests }
    })
}

fuzz_target!(|damages: Vec<Damage>| {
    let template = template();
    let disk = template.disk.copy();
    let mut names: Vec<String> = disk.list(Path::new(DIR)).expect("the disk is well");
    names.retain(|name| segment::named(name).is_some());
    for damage in damages.iter().take(4) {
        let name = &names[usize::from(damage.segment) % names.len()];
        disk.rot(&Path::new(DIR).join(name), |file| {
            let length = file.len().max(1);
            for (at, byte) in damage.bytes.iter().take(64).enumerate() {
                // Most of a segment is empty: what was written is hit more often.
                let at = (damage.offset as usize % length.min(48 << 10) + at) % length;
                if let Some(place) = file.get_mut(at) {
                    *place = if damage.is_xor { *place ^ byte } else { *byte };
                }
            }
        });
    }
    if let Ok(server) = SimServer::try_start(&disk, Clock::default(), options(), None) {
        let state = server.quorum.state();
        let digest = template.digests.get(&state.head());
        assert_eq!(digest, Some(&state.digest()), "a state that there never was, at {}", state.head());
    }
});

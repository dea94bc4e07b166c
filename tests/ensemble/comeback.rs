//! Members that come back to an ensemble in which nobody writes.

use super::clients::session_on;
use super::cluster::Ensemble;
use super::support::client::Connection;
use super::support::wire::{self, flag};

/// Each follower is stopped and started again, in order and killed. As soon as it serves, a client that has seen all that was
/// written is served by it: no transaction comes that would tell it of the others.
pub fn at_rest(ensemble: &mut Ensemble) {
    let leader = ensemble.await_whole();
    let mut writer = session_on(ensemble.members[leader].server.address);
    let mut seen = 0;
    for n in 0..10 {
        let reply = writer.call(&wire::create(&format!("/{n}"), b"", flag::PERSISTENT)).expect("an answer");
        assert_eq!(reply.err, 0);
        seen = reply.zxid;
    }
    ensemble.await_level();
    for place in (0..ensemble.members.len()).filter(|place| *place != leader) {
        for in_order in [true, false] {
            match in_order {
                true => ensemble.terminate(place),
                false => ensemble.kill(place),
            }
            ensemble.start_again(place);
            assert_eq!(ensemble.await_whole(), leader, "it has led all the while");
            let address = ensemble.members[place].server.address;
            let resumed = Connection::resume(address, &writer.session, seen);
            writer = resumed.unwrap_or_else(|error| panic!("member {} refuses: {error}", place + 1));
            assert_ne!(writer.session.id, 0, "the session lives");
            let reply = writer.call(&wire::exists("/9", false)).expect("an answer");
            assert_eq!((reply.err, reply.zxid), (0, seen));
        }
    }
}

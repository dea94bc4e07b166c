//! The charges for a change, and work that must not be done twice.

use super::*;
use crate::cost::Cost;
use crate::tree::store::{Cursor, NewZnode};

/// The digest of the same znodes, computed anew.
fn digest_anew(state: &State) -> u64 {
    let mut znodes = vec![];
    state.store().head().scan(&mut Cursor::default(), usize::MAX, &mut |znode| znodes.push(znode));
    znodes.sort_by_key(|znode| znode.path().len());
    let mut other = State::empty(StateOptions::default());
    other.begin_load(state.head());
    for znode in znodes {
        let new = NewZnode { data: znode.data(), acl: AclId::OPEN, stat: znode.persisted() };
        other.load(znode.path(), &new).unwrap();
    }
    other.digest()
}

/// Every child that is created or deleted changes the digest of its parent, which covers the parent's data.
#[test]
fn a_parent_with_long_data_makes_no_child_dear() {
    let mut client = Client::new(StateOptions::default());
    let long = "x".repeat(1 << 20);
    client.create(OpCode::Create, "/parent", 0);
    client.set("/parent", &long);
    let mut cost = |ask: &mut dyn FnMut(&mut Client) -> ErrorCode| {
        let before = client.state.meter().reading();
        assert_eq!(ask(&mut client), ErrorCode::Ok);
        assert_eq!(client.state.digest(), digest_anew(&client.state));
        client.state.meter().reading().less(before)
    };
    let child = |client: &mut Client| client.create(OpCode::Create, "/parent/child", 0);
    let walk = Cost::ZNODE * 300;
    assert!(cost(&mut |client| child(client)) > Cost::bytes(long.len()), "it is charged when it is done");
    assert!(cost(&mut |client| client.delete("/parent/child")) < walk);
    assert!(cost(&mut |client| child(client)) < walk, "and done once");
    assert!(cost(&mut |client| client.set("/parent", &long[1..])) > Cost::bytes(long.len() - 1));
    assert!(cost(&mut |client| client.delete("/parent/child")) > Cost::bytes(long.len() - 1), "other data");
    assert!(cost(&mut |client| child(client)) < walk);
    assert!(cost(&mut |client| client.set("/parent", "short")) < walk);
    assert!(cost(&mut |client| client.delete("/parent/child")) < walk);
}

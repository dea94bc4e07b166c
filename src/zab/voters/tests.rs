use super::*;

const THREE: &str = "server.1=h1:2888:3888:participant\nserver.2=h2:2888:3888:participant;0.0.0.0:2181\n\
                     server.3=h3:2888:3888:observer\nversion=100000000";

fn parse(text: &str) -> Voters {
    Voters::parse(text.as_bytes()).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// Participants 1..=n.
fn majority(n: i64) -> Voters {
    let lines: Vec<_> = (1..=n).map(|id| format!("server.{id}=h:1:2")).collect();
    parse(&lines.join("\n"))
}

fn ids(ids: &[i64]) -> BTreeSet<ServerId> {
    ids.iter().map(|id| ServerId(*id)).collect()
}

fn problems(text: &str) -> Vec<String> {
    Voters::parse(text.as_bytes()).unwrap_err().iter().map(Mistake::to_string).collect()
}

#[test]
fn the_text_is_what_it_was() {
    assert_eq!(parse(THREE).to_string(), THREE);
    assert_eq!(parse(THREE).version(), 0x1_0000_0000);
    assert_eq!(parse(THREE).with_version(0).to_string(), THREE.replace("100000000", "0"));
}

#[test]
fn what_may_be_left_out_is_written() {
    let text = "# ours\n\nversion = A\n server.2 = h2:1:2:Observer;[::1]:5 \nserver.1=h1:1:2;2181";
    let expected = "server.1=h1:1:2:participant;0.0.0.0:2181\n\
                    server.2=h2:1:2:observer;[0:0:0:0:0:0:0:1]:5\nversion=a";
    assert_eq!(parse(text).to_string(), expected);
    assert_eq!(majority(1).to_string(), "server.1=h:1:2:participant\nversion=0");
}

#[test]
fn several_addresses_are_sorted_by_host() {
    let voters = parse("server.1=b:1:2|[2001:db8::1]:5:6|a:3:4:observer\nserver.2=x:1:2");
    let member = voters.member(ServerId(1)).unwrap();
    assert_eq!(member.to_string(), "[2001:db8:0:0:0:0:0:1]:5:6|a:3:4|b:1:2:observer");
    assert_eq!(member.role, MemberRole::Observer);
}

#[test]
fn servers_stand_in_the_order_of_javas_hash_map() {
    let text = "server.2=h:1:2\nserver.3=h:1:2\nserver.17=h:1:2";
    assert!(parse(text).to_string().starts_with("server.17=h:1:2:participant\nserver.2="));
}

/// What QuorumMaj and QuorumHierarchical of ZooKeeper 3.9.5 made of these texts.
#[test]
fn zookeeper_prints_the_same() {
    let majority = "server.1=h1:1:2\nserver.2=[::1]:1:2:observer;[2001:db8::5]:7\n\
                    server.3=b:1:2|a:3:4|[fe80::1]:5:6;2181\nserver.17=127.0.0.1:1:2:participant;127.0.0.1:9\n\
                    server.100=h:1:2\nserver.254=h:1:2;[::ffff:1.2.3.4]:8\nversion=100000007";
    let printed = "server.1=h1:1:2:participant\nserver.17=127.0.0.1:1:2:participant;127.0.0.1:9\n\
                   server.2=[0:0:0:0:0:0:0:1]:1:2:observer;[2001:db8:0:0:0:0:0:5]:7\n\
                   server.3=a:3:4|b:1:2|[fe80:0:0:0:0:0:0:1]:5:6:participant;0.0.0.0:2181\n\
                   server.100=h:1:2:participant\nserver.254=h:1:2:participant;1.2.3.4:8\nversion=100000007";
    assert_eq!(parse(majority).to_string(), printed);
    assert_eq!(parse(printed).to_string(), printed);
    let groups = "server.1=h:1:2\nserver.2=h:1:2\nserver.18=h:1:2\nserver.5=h:1:2\nserver.9=h:1:2:observer\n\
                  group.20=1:18\ngroup.3=5:2\nweight.5=3\nweight.9=0\nversion=a";
    let printed = "server.1=h:1:2:participant\nserver.2=h:1:2:participant\nserver.18=h:1:2:participant\n\
                   server.5=h:1:2:participant\nserver.9=h:1:2:observer\ngroup.3=2:5\ngroup.20=1:18\n\
                   weight.1=1\nweight.2=1\nweight.18=1\nweight.5=3\nweight.9=0\nversion=a";
    assert_eq!(parse(groups).to_string(), printed);
    assert_eq!(parse(printed).to_string(), printed);
}

#[test]
fn a_majority_is_more_than_half_of_the_voters() {
    for (voters, quorum) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)] {
        let config = majority(voters);
        for held in 0..=voters {
            assert_eq!(config.is_quorum_by(|id| id.0 <= held), held >= quorum, "{held} of {voters}");
        }
    }
    let voters = parse(THREE);
    assert!(!voters.is_quorum(&ids(&[1, 3, 9])), "neither observers nor strangers are counted");
    assert!(voters.is_quorum(&ids(&[1, 2])));
    assert_eq!((voters.weight(ServerId(1)), voters.weight(ServerId(3)), voters.weight(ServerId(9))), (1, 0, 0));
    assert!(voters.is_observer(ServerId(3)) && !voters.is_voter(ServerId(3)));
}

const GROUPS: &str = "server.1=h:1:2:participant\nserver.2=h:1:2:participant\nserver.3=h:1:2:participant\n\
                      server.4=h:1:2:participant\nserver.5=h:1:2:participant\nserver.6=h:1:2:participant\n\
                      server.7=h:1:2:participant\nserver.8=h:1:2:participant\nserver.9=h:1:2:participant\n\
                      group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9\n\
                      weight.1=1\nweight.2=1\nweight.3=1\nweight.4=1\nweight.5=1\nweight.6=1\n\
                      weight.7=0\nweight.8=0\nweight.9=0\nversion=0";

#[test]
fn groups_of_weight_zero_are_not_counted() {
    let voters = parse(GROUPS);
    assert_eq!(voters.to_string(), GROUPS);
    assert!(voters.is_quorum(&ids(&[1, 2, 4, 5])), "both of the two groups that weigh something");
    assert!(!voters.is_quorum(&ids(&[1, 2, 3, 7, 8, 9])), "one of two is not more than half");
    assert!(!voters.is_quorum(&ids(&[1, 4, 7, 8, 9])), "no group has its majority");
    assert_eq!(voters.weight(ServerId(7)), 0);
    let all_zero = "server.1=h:1:2\nserver.2=h:1:2\ngroup.1=1:2\nweight.1=0\nweight.2=0";
    assert!(!parse(all_zero).is_quorum(&ids(&[1, 2])), "where nothing weighs, nothing is a quorum");
}

#[test]
fn groups_decide_by_weight() {
    let text = "server.1=h:1:2\nserver.2=h:1:2\nserver.3=h:1:2\nserver.4=h:1:2\n\
                group.1=1:2\ngroup.2=3\ngroup.3=4\nweight.1=3";
    let voters = parse(text);
    assert!(voters.is_quorum(&ids(&[1, 4])), "three of four, and a group of its own");
    assert!(!voters.is_quorum(&ids(&[2, 4])), "one of four is no majority of its group");
    assert!(voters.is_quorum(&ids(&[3, 4])));
    // One weight.N that was not given: written out all the same, as Java does.
    assert!(voters.to_string().contains("weight.2=1\n"));
    assert!(!voters.same_but_version(&majority(4)));
    assert!(voters.same_but_version(&parse(text).with_version(7)));
}

#[test]
fn every_mistake_is_named_with_key_value_and_expectation() {
    let text = "server.x=h:1:2\nserver.1=h:1\nserver.2=h:1:1\nserver.3=h:1:2:witness\nserver.4=h:1:2;3:4:5\n\
                server.5=h:1:70000\nserver.6=:1:2\nserver.7=h:1:2|g:1:2:observer|f:1:2:participant\nserver.-8=h:1:2\n\
                weight.1=-1\nversion=0x1\npeerType=observer\nserver.9=h:1:2\nserver.9=h:1:2\ngroup.a=1";
    let all = problems(text);
    for (key, problem) in [
        ("server.x", "expected server.N"),
        ("server.1 = \"h:1\"", "expected host:quorumPort:electionPort"),
        ("server.2", "different ports"),
        ("server.3", "expected participant or observer"),
        ("server.4", "is no port"),
        ("server.5", "\"70000\" is no port"),
        ("server.6", "is no host"),
        ("server.7", "two roles"),
        ("server.-8", "expected server.N"),
        ("weight.1", "0 or more"),
        ("version", "without 0x"),
        ("peerType", "expected server.N, group.N, weight.N or version"),
        ("server.9", "given twice"),
        ("group.a", "expected group.N"),
    ] {
        assert!(all.iter().any(|line| line.starts_with(key) && line.contains(problem)), "{key}: {all:#?}");
    }
    assert_eq!(all.len(), 15, "those above, and server 9 in no group: {all:#?}");
}

#[test]
fn what_is_no_ensemble() {
    assert_eq!(problems(""), ["no server.N is a participant; expected at least one"]);
    assert_eq!(problems("server.1=h:1:2:observer").len(), 1);
    let all = problems("server.1=h:1:2\nserver.2=h:1:2\nserver.3=h:1:2:observer\ngroup.1=1:3\ngroup.2=1");
    assert!(all[0].contains("server 1 is in two groups"), "{all:?}");
    assert!(all[1].contains("server 2 is in no group"), "{all:?}");
    assert!(all[2].contains("server 3 is in a group, but is no participant"), "{all:?}");
    assert!(problems("server.1=h:1:2\nserver.2=h\\u00:1:2")[0].starts_with("line 2"));
    assert!(Voters::parse(b"server.1=\xff:1:2").is_err());
}

#[test]
fn during_a_reconfiguration_a_quorum_stands_in_both() {
    let pending = majority(5).with_version(9);
    let config = Config::new(majority(3), Some(pending.clone()));
    assert!(!config.is_quorum_in_all(&ids(&[1, 2])) && !config.is_quorum_in_all(&ids(&[1, 4, 5])));
    assert!(config.is_quorum_in_all(&ids(&[1, 2, 5])));
    assert_eq!(config.voters(), ids(&[1, 2, 3, 4, 5]));
    assert_eq!((config.weight(ServerId(5)), config.weight(ServerId(6))), (1, 0));
    assert!(config.is_voter(ServerId(5)) && config.member(ServerId(5)).is_some());
    let old = Config::new(pending, Some(majority(3)));
    assert_eq!(old.pending(), None, "what is older than the current configuration counts for nothing");
}

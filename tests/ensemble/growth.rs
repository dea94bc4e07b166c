//! Servers on their own that become an ensemble, members that are left alone, and what is waited for at a start: as real
//! processes, each with the directory it has.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::clients::resumed;
use super::secrets::forged;
use super::support::client::{Connection, Session, four_letter_word};
use super::support::server::{Server, Target, free_port, install_zookeeper};
use super::support::wire;
use super::support::{Scratch, wait_for};

/// Servers that may find each other have done so within this.
const LIMIT: Duration = Duration::from_secs(60);

const SESSION_MS: i32 = 30_000;

/// Lines of every member.
const MEMBER: [&str; 5] =
    ["tickTime=200", "initLimit=25", "syncLimit=15", "4lw.commands.whitelist=*", "standaloneEnabled=false"];

/// Servers by their places; the id of one is its place plus 1.
pub struct Servers {
    servers: Vec<Server>,
    ports: Vec<[u16; 2]>,
    scratch: Scratch,
}

impl Servers {
    pub fn prepare(targets: &[Target]) -> Servers {
        let scratch = Scratch::new();
        if targets.iter().any(|target| target.is_zookeeper()) {
            install_zookeeper();
        }
        let prepare = |(place, target): (usize, &Target)| {
            Server::prepare(*target, &scratch.path().join(format!("server{}", place + 1)), &[])
        };
        let servers = targets.iter().enumerate().map(prepare).collect();
        let ports = targets.iter().map(|_| [free_port(), free_port()]).collect();
        Servers { servers, ports, scratch }
    }

    /// One line for each character: `V`otes, `O`bserves, `-` is none.
    fn lines(&self, roles: &str) -> Vec<String> {
        let line = |(place, role): (usize, char)| {
            let [quorum, election] = self.ports[place];
            let role = match role {
                'V' => "participant",
                'O' => "observer",
                _ => return None,
            };
            Some(format!("server.{}=127.0.0.1:{quorum}:{election}:{role}", place + 1))
        };
        roles.chars().enumerate().filter_map(line).collect()
    }

    /// The configuration of a server's next start, and its `myid`.
    fn configure(&mut self, place: usize, id: Option<usize>, lines: &[String]) {
        let server = &mut self.servers[place];
        let mut lines = lines.to_vec();
        match server.target {
            Target::Corral(_) => {
                let myid = server.data_directory().join("myid");
                fs::create_dir_all(server.data_directory()).expect("the data directory");
                match id {
                    Some(id) => fs::write(myid, format!("{id}\n")).expect("myid"),
                    None => drop(fs::remove_file(myid)),
                }
            }
            _ => {
                lines.extend(id.map(|id| format!("myid={id}")));
                lines.push("heap=256m".to_owned());
            }
        }
        server.configure(&lines);
    }

    /// The members of these roles, all with this configuration.
    fn configure_members(&mut self, roles: &str) {
        for place in 0..self.servers.len() {
            let lines = [MEMBER.map(str::to_owned).to_vec(), self.lines(roles)].concat();
            self.configure(place, Some(place + 1), &lines);
        }
    }

    fn spawn(&mut self, places: &[usize]) {
        std::thread::scope(|scope| {
            for (place, server) in self.servers.iter_mut().enumerate() {
                if places.contains(&place) {
                    scope.spawn(|| server.spawn());
                }
            }
        });
    }

    fn mode(&self, place: usize) -> Option<String> {
        let answer = four_letter_word(self.servers[place].address, "srvr").ok()?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// Waits until these serve in an ensemble; gives the leader.
    fn await_served(&self, places: &[usize]) -> usize {
        let modes = || -> Vec<Option<String>> { places.iter().map(|place| self.mode(*place)).collect() };
        let found = wait_for(LIMIT, || {
            let modes = modes();
            let leader = modes.iter().position(|mode| mode.as_deref() == Some("leader"))?;
            let is_member = |mode: &Option<String>| matches!(mode.as_deref(), Some("leader" | "follower" | "observer"));
            modes.iter().all(is_member).then_some(places[leader])
        });
        found.unwrap_or_else(|| panic!("{:?}; their logs:\n{}", modes(), self.logs()))
    }

    fn logs(&self) -> String {
        let logs = self.servers.iter().enumerate();
        logs.map(|(place, server)| format!("--- {}\n{}", place + 1, server.log_tail())).collect()
    }

    fn session(&self, place: usize) -> Connection {
        Connection::new_session(self.servers[place].address, SESSION_MS).expect("a session")
    }

    fn write(&self, place: usize, path: &str) {
        let mut connection = self.session(place);
        connection.must(&wire::create(path, path.as_bytes(), 0));
        connection.close().expect("closed");
    }

    /// The server behind this place has the znodes.
    fn assert_has(&self, place: usize, paths: &[&str]) {
        let mut connection = self.session(place);
        for path in paths {
            connection.must(&wire::sync("/"));
            let reply = connection.call(&wire::get_data(path, false)).expect("an answer");
            assert_eq!(reply.err, 0, "server {} lacks {path}:\n{}", place + 1, self.logs());
        }
        connection.close().expect("closed");
    }

    /// The session goes on with its password, and with no other.
    fn assert_keeps(&self, place: usize, session: &Session) {
        let address = self.servers[place].address;
        assert_eq!(resumed(address, &forged(session), 0).session.id, 0, "server {}", place + 1);
        assert_eq!(resumed(address, session, 0).session.id, session.id, "server {}", place + 1);
    }

    /// The top byte of the ids of sessions.
    fn session_byte(&self, place: usize) -> u8 {
        let connection = self.session(place);
        let byte = (connection.session.id as u64 >> 56) as u8;
        connection.close().expect("closed");
        byte
    }

    fn terminate(&mut self, places: &[usize]) {
        for place in places {
            self.servers[*place].terminate();
        }
    }

    /// What `corral state` says on standard error of a server's directory.
    fn whose(&self, place: usize) -> String {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_corral"))
            .args(["state", "--quiet"])
            .arg(self.servers[place].data_directory())
            .output()
            .expect("corral runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }
}

/// A lone server becomes one of three, which have what it had; one of the three is left alone, and takes others in again.
pub fn grows_and_shrinks(targets: &[Target]) {
    let mut servers = Servers::prepare(targets);
    servers.configure(0, None, &[]);
    servers.spawn(&[0]);
    servers.servers[0].await_ready();
    assert_eq!(servers.mode(0).as_deref(), Some("standalone"));
    servers.write(0, "/alone");
    assert_eq!(servers.session_byte(0), 1);
    let kept = servers.session(0).session.clone();
    servers.terminate(&[0]);
    assert!(servers.whose(0).contains("of a server on its own"), "{}", servers.whose(0));

    servers.configure_members("VVV");
    servers.spawn(&[0, 1, 2]);
    assert_eq!(servers.await_served(&[0, 1, 2]), 0, "who has the data leads");
    (0..3).for_each(|place| servers.assert_has(place, &["/alone"]));
    (0..3).for_each(|place| servers.assert_keeps(place, &kept));
    servers.write(2, "/three");
    (0..3).for_each(|place| servers.assert_has(place, &["/alone", "/three"]));
    servers.terminate(&[0, 1, 2]);
    assert!(servers.whose(0).contains("of server 1, a member of an ensemble"), "{}", servers.whose(0));

    // It goes by its directory where nothing else names it.
    servers.configure(1, None, &[]);
    servers.spawn(&[1]);
    servers.servers[1].await_ready();
    assert_eq!(servers.mode(1).as_deref(), Some("standalone"));
    servers.assert_has(1, &["/alone", "/three"]);
    servers.assert_keeps(1, &kept);
    servers.write(1, "/left");
    assert_eq!(servers.session_byte(1), 2);
    assert!(servers.servers[1].log().contains("its server is on its own now"), "{}", servers.logs());
    servers.terminate(&[1]);
    assert!(servers.whose(1).contains("of server 2, once a member"), "{}", servers.whose(1));

    // As another server it has no place anywhere.
    servers.configure(1, Some(3), &[]);
    servers.spawn(&[1]);
    let status = servers.servers[1].await_end(LIMIT).expect("it ends");
    assert_eq!(status.code(), Some(3), "{}", servers.logs());
    assert!(servers.servers[1].log().contains("two servers must not have one voice"), "{}", servers.logs());

    // The others come back with nothing.
    for place in [0, 2] {
        fs::remove_dir_all(servers.servers[place].data_directory()).expect("removed");
    }
    servers.configure_members("VVV");
    servers.spawn(&[0, 1, 2]);
    assert_eq!(servers.await_served(&[0, 1, 2]), 1);
    (0..3).for_each(|place| servers.assert_has(place, &["/alone", "/three", "/left"]));
    servers.terminate(&[0, 1, 2]);
}

/// All went down in the middle of a reconfiguration: these come back and have it done.
pub fn finishes_a_reconfiguration(targets: &[Target], old: &str, next: &str, holders: &[usize]) {
    let mut servers = Servers::prepare(targets);
    for place in 0..targets.len() {
        let belongs = old.as_bytes()[place] != b'-';
        let mut lines = MEMBER.map(str::to_owned).to_vec();
        lines.push("reconfigEnabled=true".to_owned());
        let file = servers.servers[place].configuration_file();
        let beside = |suffix: &str| format!("{}{suffix}", file.display());
        if belongs {
            let dynamic = beside(".dynamic.100000000");
            fs::write(&dynamic, servers.lines(old).join("\n")).expect("written");
            lines.push(format!("dynamicConfigFile={dynamic}"));
        } else {
            let own: String = (0..targets.len()).map(|other| if other == place { 'V' } else { '-' }).collect();
            lines.extend(servers.lines(old).into_iter().chain(servers.lines(&own)));
        }
        if holders.contains(&(place + 1)) {
            let text = servers.lines(next).join("\n") + "\nversion=200000000";
            fs::write(beside(".dynamic.next"), text).expect("written");
        }
        servers.configure(place, Some(place + 1), &lines);
    }
    let all: Vec<usize> = (0..targets.len()).collect();
    servers.spawn(&all);
    let shown = |place: usize| -> Option<String> {
        let mut connection = Connection::new_session(servers.servers[place].address, SESSION_MS).ok()?;
        let data = connection.call(&wire::get_data("/zookeeper/config", false)).ok()?;
        connection.close().ok()?;
        Some(String::from_utf8_lossy(&data.body).into_owned())
    };
    let done = wait_for(LIMIT, || {
        let all_show = all.iter().all(|place| shown(*place).is_some_and(|text| text.contains("version=200000000")));
        all_show.then_some(())
    });
    assert!(
        done.is_some(),
        "{targets:?} {old} {next}: {:?}; {}",
        all.iter().map(|place| servers.mode(*place)).collect::<Vec<_>>(),
        servers.logs()
    );
    servers.await_served(&all);
    servers.write(0, "/after");
    all.iter().for_each(|place| servers.assert_has(*place, &["/after"]));
    for place in &all {
        let file = servers.servers[*place].configuration_file();
        let is_gone = || (!Path::new(&format!("{}.dynamic.next", file.display())).exists()).then_some(());
        assert!(wait_for(LIMIT, is_gone).is_some(), "server {}", place + 1);
    }
    servers.terminate(&all);
}

/// An own address that is not up, and a name that nobody knows, are tried again as often as was said.
pub fn waits_for_its_address(target: Target) {
    for (host, said) in [("192.0.2.1", "192.0.2.1:"), ("corral.invalid", "corral.invalid: ")] {
        let mut servers = Servers::prepare(&[target]);
        let [quorum, election] = servers.ports[0];
        let mut lines = MEMBER.map(str::to_owned).to_vec();
        lines.push("corral.insecureQuorum=true".to_owned());
        lines.push("electionPortBindRetry=2".to_owned());
        lines.push(format!("server.1={host}:{quorum}:{election}"));
        servers.configure(0, Some(1), &lines);
        servers.spawn(&[0]);
        let status = servers.servers[0].await_end(LIMIT).expect("it ends");
        assert_eq!(status.code(), Some(22), "{}", servers.logs());
        let log = servers.servers[0].log();
        assert_eq!(log.matches("tried again every 1 s").count(), 2, "{log}");
        assert!(log.contains(said), "{log}");
        assert!(!servers.scratch.path().join("server1/data/identity").exists(), "nothing was written");
    }
}

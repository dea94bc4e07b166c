//! What is done to the servers while they are under load: commands that are run at instants of the window, one after the
//! other. When each began and ended divides the run into stages.

use crate::failure::{Failure, Result, While};
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How often it is looked whether a command has ended.
const GLANCE: Duration = Duration::from_millis(1);

/// A command and when it is run: `SECONDS:NAME:COMMAND`.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervention {
    /// After the window's opening.
    pub at: Duration,
    /// What the stage is called.
    pub name: String,
    /// For the shell; it has to succeed.
    pub command: String,
}

impl FromStr for Intervention {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Intervention, String> {
        let mut parts = text.splitn(3, ':');
        let (Some(at), Some(name), Some(command)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("not SECONDS:NAME:COMMAND: {text}"));
        };
        let at = at.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let at = at.ok_or_else(|| format!("not a number of seconds before the first colon: {text}"))?;
        if name.is_empty() || command.trim().is_empty() {
            return Err(format!("a name and a command are needed: {text}"));
        }
        Ok(Intervention { at, name: name.into(), command: command.into() })
    }
}

/// One that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub name: String,
    /// After the window's opening.
    pub from: Duration,
    pub to: Duration,
}

/// Interventions that are being made.
pub struct Plan {
    thread: JoinHandle<Result<Vec<Made>>>,
    stop: Sender<()>,
}

impl Plan {
    /// Makes each at its instant after `zero`, or when the one before it has ended.
    pub fn start(interventions: Vec<Intervention>, zero: Instant) -> Result<Plan> {
        let (stop, stopped) = channel();
        let work = move || interventions.iter().map(|one| make(one, zero, &stopped)).collect();
        let thread = Builder::new().name("interventions".into()).spawn(work);
        Ok(Plan { thread: thread.during(|| "starting a thread".into())?, stop })
    }

    /// What was made. Fails when one has failed, or has not ended yet: then it is ended with all it has started in its
    /// process group.
    pub fn end(self) -> Result<Vec<Made>> {
        // The thread listens for this end of the channel to go.
        drop(self.stop);
        self.thread.join().map_err(|_| Failure::new("the thread of the interventions has panicked"))?
    }
}

fn make(one: &Intervention, zero: Instant, stopped: &Receiver<()>) -> Result<Made> {
    let is_over = |until: Instant| {
        let left = until.saturating_duration_since(Instant::now());
        !matches!(stopped.recv_timeout(left), Err(RecvTimeoutError::Timeout))
    };
    if is_over(zero + one.at) {
        return Err(Failure::new(format!("{}: the load ended before it was due", one.name)));
    }
    let from = zero.elapsed();
    let mut child = spawn(&one.command).during(|| one.name.clone())?;
    let status = loop {
        if let Some(status) = child.try_wait().during(|| one.name.clone())? {
            break status;
        }
        if is_over(Instant::now() + GLANCE) {
            end_group(&mut child);
            return Err(Failure::new(format!("{}: not done when the load ended: {}", one.name, one.command)));
        }
    };
    if !status.success() {
        return Err(Failure::new(format!("{}: {status}: {}", one.name, one.command)));
    }
    Ok(Made { name: one.name.clone(), from, to: zero.elapsed() })
}

/// What it prints goes where this program's complaints go: the output is for the document.
fn spawn(command: &str) -> std::io::Result<Child> {
    let complaints = std::io::stderr().as_fd().try_clone_to_owned()?;
    Command::new("sh").args(["-c", command]).stdin(Stdio::null()).stdout(complaints).process_group(0).spawn()
}

fn end_group(child: &mut Child) {
    // It may just have ended by itself.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(interventions: &[&str]) -> Plan {
        let interventions = interventions.iter().map(|text| text.parse().unwrap()).collect();
        Plan::start(interventions, Instant::now()).unwrap()
    }

    /// Waits until the thread has come to its end by itself.
    fn ended(plan: Plan) -> Result<Vec<Made>> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !plan.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
        plan.end()
    }

    #[test]
    fn colons_belong_to_the_command() {
        let one: Intervention = "1.5:kill:echo a:b".parse().unwrap();
        let expected =
            Intervention { at: Duration::from_millis(1500), name: "kill".into(), command: "echo a:b".into() };
        assert_eq!(one, expected);
        for wrong in ["", "1", "1:kill", "x:kill:true", "-1:kill:true", "1::true", "1:kill: "] {
            assert!(wrong.parse::<Intervention>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_is_made_at_its_instant_and_after_the_one_before() {
        let made = ended(plan(&["0.02:first:sleep 0.05", "0.03:second:true"])).unwrap();
        assert_eq!(made.iter().map(|made| made.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        assert!(made[0].from >= Duration::from_millis(20) && made[0].to - made[0].from >= Duration::from_millis(50));
        assert!(made[1].from >= made[0].to, "{made:?}");
    }

    #[test]
    fn one_that_fails_or_does_not_end_is_told() {
        let failure = ended(plan(&["0:kill:exit 3"])).unwrap_err().to_string();
        assert!(failure.contains("kill: exit status: 3"), "{failure}");
        let failure = plan(&["3600:late:true"]).end().unwrap_err().to_string();
        assert!(failure.contains("late: the load ended before it was due"), "{failure}");
        let directory = tempfile::tempdir().unwrap();
        let begun = directory.path().join("begun");
        let plan = plan(&[&format!("0:long:touch {} && sleep 3600", begun.display())]);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !begun.exists() && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
        let failure = plan.end().unwrap_err().to_string();
        assert!(failure.contains("long: not done when the load ended"), "{failure}");
    }
}

//! Disks that fail: the data of a member lies on a file system of its own in a loop-mounted file, which can be full, lose
//! power, refuse every access, stand still or be slow.
//!
//! Power is cut by the file system's own shutdown call, which throws away everything that is only in memory, its journal
//! included; what has reached the device stays, flushed or not. Errors come from a loop device that is made too short to
//! hold anything, so nothing that is on it is lost. Needs root, loop devices, `mkfs.ext4` (e2fsprogs) and `python3`, for
//! two system calls that no command makes.

use fastrand::Rng;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::clients::Board;
use super::cluster::Ensemble;
use super::nemesis::{Whom, await_noticed, await_served};
use super::support::{Scratch, wait_for};

/// Room for some log files and snapshots, which are small here.
const DISK_BYTES: u64 = 384 << 20;

/// A block of a file.
const LEAST_SPACE: u64 = 4 << 10;

/// A member whose disk is full or broken ends within this: it may have space set aside.
const END_LIMIT: Duration = Duration::from_secs(30);

/// The kernel takes the rings of a process apart, and closes what is registered with them, some time after its end.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(20);

/// Writes a second that a slow disk takes.
const SLOW_WRITES: u32 = 40;

/// How a server ends, as its documentation says.
const DISK_FULL: (i32, &str) = (10, "fatal disk-full: ");
const DISK_IO: (i32, &str) = (11, "fatal disk-io: ");

/// What happens to disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// No space is left, until the member has ended and has been started in vain.
    Full(Whom),
    PowerLoss(Whom),
    /// All members at once.
    PowerLossOfAll,
    /// Every access fails.
    Broken(Whom),
    /// Every write waits, until the others serve.
    Stalled(Whom),
    /// Writes take much longer than elsewhere.
    Slow(Whom),
}

/// Lets a fault happen to one member's disk, or to all.
pub fn inflict(fault: DiskFault, ensemble: &mut Ensemble, board: &Board, random: &mut Rng) {
    let leader = ensemble.await_whole();
    let count = ensemble.members.len();
    match fault {
        DiskFault::Full(whom) => {
            let place = whom.of(leader, count, random);
            disk(ensemble, place).fill();
            must_end(ensemble, place, DISK_FULL);
            await_served(board, "a majority without a full disk", ensemble);
            // No start begins to serve what it cannot log.
            ensemble.start_again(place);
            must_end(ensemble, place, DISK_FULL);
            disk(ensemble, place).make_space();
            ensemble.start_again(place);
        }
        DiskFault::PowerLoss(whom) => {
            let place = whom.of(leader, count, random);
            cut_power(&[disk(ensemble, place)]);
            ensemble.kill(place);
            await_served(board, "a majority with power", ensemble);
            disk(ensemble, place).restore();
            ensemble.start_again(place);
        }
        DiskFault::PowerLossOfAll => {
            let disks: Vec<&Disk> = ensemble.members.iter().filter_map(|member| member.disk.as_ref()).collect();
            cut_power(&disks);
            for place in 0..count {
                ensemble.kill(place);
            }
            for place in 0..count {
                disk(ensemble, place).restore();
            }
            ensemble.spawn_all();
        }
        DiskFault::Broken(whom) => {
            let place = whom.of(leader, count, random);
            disk(ensemble, place).break_down();
            must_end(ensemble, place, DISK_IO);
            await_served(board, "a majority without a broken disk", ensemble);
            disk(ensemble, place).restore();
            ensemble.start_again(place);
        }
        DiskFault::Stalled(whom) => {
            let place = whom.of(leader, count, random);
            let stalled = disk(ensemble, place).stall();
            await_noticed(ensemble);
            await_served(board, "a majority without a stalled disk", ensemble);
            drop(stalled);
        }
        DiskFault::Slow(whom) => {
            let place = whom.of(leader, count, random);
            let pid = ensemble.members[place].server.pid().expect("a member that runs");
            let slow = disk(ensemble, place).slow_down(pid);
            await_noticed(ensemble);
            await_served(board, "an ensemble with a slow disk", ensemble);
            assert!(slow.writes() > 0, "nothing was written slowly");
            drop(slow);
        }
    }
}

fn disk(ensemble: &mut Ensemble, place: usize) -> &mut Disk {
    ensemble.members[place].disk.as_mut().expect("a member with a disk of its own")
}

/// A member ends by itself and says why, in its exit status and at the end of its log.
fn must_end(ensemble: &mut Ensemble, place: usize, (status, reason): (i32, &str)) {
    let (found, last) = ensemble.await_end(place, END_LIMIT);
    let told = last.lines().any(|line| line.contains(reason));
    assert!(
        found == Some(status) && told,
        "member {} ended with {found:?}, expected {status}, {reason}; {last}",
        place + 1
    );
}

/// Why this machine has no such disks; None when it has.
pub fn absent() -> Option<String> {
    let scratch = Scratch::new();
    let place = scratch.path().join("mounted");
    let made = Disk::make(&scratch.path().join("disk"), &place).and_then(|disk| {
        shut_down(&[&disk])?;
        Ok(disk)
    });
    made.err()
}

/// Why this machine cannot slow a disk down; None when it can.
pub fn no_slow_disks() -> Option<String> {
    let limit = Path::new(BLOCK_GROUPS).join(WRITE_LIMIT);
    (!limit.exists()).then(|| format!("there is no {}", limit.display()))
}

/// A file system in a file, mounted while it is in use.
pub struct Disk {
    image: PathBuf,
    mounted_at: PathBuf,
    device: Option<PathBuf>,
}

impl Disk {
    /// A new disk, its root at `mounted_at`.
    pub fn new(image: &Path, mounted_at: &Path) -> Disk {
        Disk::make(image, mounted_at).unwrap_or_else(|error| panic!("no disk at {}: {error}", mounted_at.display()))
    }

    fn make(image: &Path, mounted_at: &Path) -> Result<Disk, String> {
        let file = fs::File::create(image).and_then(|file| file.set_len(DISK_BYTES));
        file.and_then(|()| fs::create_dir_all(mounted_at)).map_err(|error| error.to_string())?;
        // No blocks are kept for root, who is who writes here.
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image))?;
        let mut disk = Disk { image: image.to_path_buf(), mounted_at: mounted_at.to_path_buf(), device: None };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&mut self) -> Result<(), String> {
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&self.image))?;
        let device = PathBuf::from(device.trim());
        let mounted = run(Command::new("mount").args(["-t", "ext4"]).arg(&device).arg(&self.mounted_at));
        // It goes when it is unmounted; at once when it is not mounted.
        run(Command::new("losetup").arg("--detach").arg(&device))?;
        mounted?;
        self.device = Some(device);
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        if self.device.take().is_none() {
            return Ok(());
        }
        let mut last = String::new();
        let unmounted = wait_for(UNMOUNT_LIMIT, || {
            let unmounted = run(Command::new("umount").arg(&self.mounted_at));
            unmounted.map_err(|error| last = error).ok()
        });
        unmounted.map(|_| ()).ok_or(last)
    }

    /// Brings everything written so far onto the device.
    pub fn sync(&self) {
        must(run(Command::new("sync").arg("--file-system").arg(&self.mounted_at)));
    }

    /// Mounts it anew, with the power back and the device whole. What was not on it is gone.
    fn restore(&mut self) {
        must(self.unmount());
        must(self.mount());
    }

    fn ballast(&self) -> PathBuf {
        self.mounted_at.join("ballast")
    }

    /// Takes all the space there is.
    fn fill(&self) {
        let ballast = fs::File::create(self.ballast()).expect("the ballast");
        let (mut taken, mut piece) = (0, DISK_BYTES);
        while piece >= LEAST_SPACE {
            match rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), taken, piece) {
                Ok(()) => taken += piece,
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(error) => panic!("no ballast of {taken} and {piece} bytes: {error}"),
            }
        }
    }

    fn make_space(&self) {
        fs::remove_file(self.ballast()).expect("the ballast");
    }

    fn device(&self) -> &Path {
        self.device.as_deref().expect("a disk that is mounted")
    }

    /// Lets every access fail.
    fn break_down(&self) {
        must(python(SHORTEN, &[self.device()]));
    }

    /// Lets every write wait as long as what is returned lives. Who waits cannot even be killed.
    #[must_use]
    fn stall(&self) -> Stalled {
        must(run(Command::new("fsfreeze").arg("--freeze").arg(&self.mounted_at)));
        Stalled(self.mounted_at.clone())
    }

    /// Lets the writes of a process take their time as long as what is returned lives.
    #[must_use]
    fn slow_down(&self, pid: u32) -> Slowed {
        let device = fs::metadata(&self.mounted_at).expect("a mounted disk").dev();
        let slowed = Slowed {
            group: Path::new(BLOCK_GROUPS).join(format!("corral-test-{pid}")),
            device: format!("{}:{}", libc::major(device), libc::minor(device)),
            pid,
        };
        fs::create_dir(&slowed.group).expect("a control group");
        slowed.limit(SLOW_WRITES);
        slowed.put_into(&slowed.group);
        slowed
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            println!("{} stays mounted: {error}", self.mounted_at.display());
        }
    }
}

struct Stalled(PathBuf);

impl Drop for Stalled {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("fsfreeze").arg("--unfreeze").arg(&self.0)) {
            println!("{} stays frozen: {error}", self.0.display());
        }
    }
}

/// Where the control groups of block devices are.
const BLOCK_GROUPS: &str = "/sys/fs/cgroup/blkio";

/// Writes a second, and how many there were, by device.
const WRITE_LIMIT: &str = "blkio.throttle.write_iops_device";
const WRITES: &str = "blkio.throttle.io_serviced";

struct Slowed {
    group: PathBuf,
    device: String,
    pid: u32,
}

impl Slowed {
    /// 0 is no limit.
    fn limit(&self, writes: u32) {
        fs::write(self.group.join(WRITE_LIMIT), format!("{} {writes}", self.device)).expect("a limit");
    }

    /// How often the process has written to the device.
    fn writes(&self) -> u64 {
        let text = fs::read_to_string(self.group.join(WRITES)).expect("what was written");
        let start = format!("{} Write ", self.device);
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or(0)
    }

    fn put_into(&self, group: &Path) {
        fs::write(group.join("cgroup.procs"), self.pid.to_string()).expect("a place in a control group");
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.limit(0);
        if !std::thread::panicking() {
            self.put_into(Path::new(BLOCK_GROUPS));
        }
        if let Err(error) = fs::remove_dir(&self.group) {
            println!("{} stays: {error}", self.group.display());
        }
    }
}

/// FS_IOC_SHUTDOWN without a flush of the journal, for one mounted file system after the other.
const SHUT_DOWN: &str = "
import fcntl, os, struct, sys
places = [os.open(place, os.O_RDONLY) for place in sys.argv[1:]]
for place in places:
    fcntl.ioctl(place, 0x8004587D, struct.pack('I', 2))
";

/// LOOP_GET_STATUS64, and LOOP_SET_STATUS64 with a limit of one block.
const SHORTEN: &str = "
import fcntl, os, struct, sys
device = os.open(sys.argv[1], os.O_RDWR)
status = bytearray(232)
fcntl.ioctl(device, 0x4C05, status)
struct.pack_into('Q', status, 32, 4096)
fcntl.ioctl(device, 0x4C04, bytes(status))
";

/// What these disks hold in memory only is lost, all at one moment.
fn cut_power(disks: &[&Disk]) {
    must(shut_down(disks));
}

fn shut_down(disks: &[&Disk]) -> Result<(), String> {
    let places: Vec<&Path> = disks.iter().map(|disk| disk.mounted_at.as_path()).collect();
    python(SHUT_DOWN, &places)
}

fn python(script: &str, arguments: &[&Path]) -> Result<(), String> {
    run(Command::new("python3").args(["-c", script]).args(arguments)).map(|_| ())
}

/// What a command prints, or why it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program}: {}", said.trim().replace('\n', "; ")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn must<T>(done: Result<T, String>) -> T {
    done.unwrap_or_else(|error| panic!("{error}"))
}

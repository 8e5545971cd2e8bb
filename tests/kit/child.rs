//! Child processes that end with us, whatever happens, and whose output is kept.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Failure, Result, tools};

/// How long a program may take to stop when asked.
const STOP_LIMIT: Duration = Duration::from_secs(5);
const STOP_POLL: Duration = Duration::from_millis(10);
const READY_POLL: Duration = Duration::from_millis(20);
/// How much of a program's output a failure shows.
const SHOWN_LINES: usize = 40;

/// What becomes of a program's standard output.
#[derive(Clone, Copy)]
pub enum Stdout {
    /// It is kept with standard error.
    Kept,
    /// It is a pipe that nobody reads until [`Running::take_stdout`].
    Unread,
}

/// A program that runs until this is dropped.
pub struct Running {
    name: String,
    child: Child,
    output: PathBuf,
}

impl Running {
    /// Starts `program` with what `set_up` adds; its standard output and error go to `output`.
    ///
    /// # Errors
    ///
    /// When the program or the file for its output cannot be opened.
    pub fn start(
        name: &str,
        program: &Path,
        output: &Path,
        set_up: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        Self::start_with(name, program, output, Stdout::Kept, set_up)
    }

    /// The same, with a choice of what becomes of standard output.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(
        name: &str,
        program: &Path,
        output: &Path,
        stdout: Stdout,
        set_up: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        // The kernel ends the program when we go, even if nothing of ours gets to run again.
        let mut command = Command::new(tools::find("setpriv")?);
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        set_up(&mut command);
        let open = |file: &Path| -> io::Result<(File, File)> {
            let file = File::options().create(true).append(true).open(file)?;
            Ok((file.try_clone()?, file))
        };
        let (file, stderr) = open(output).map_err(Failure::of(output.display()))?;
        let stdout = match stdout {
            Stdout::Kept => Stdio::from(file),
            Stdout::Unread => Stdio::piped(),
        };
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = spawn(command).map_err(Failure::of(program.display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            output: output.to_owned(),
        })
    }

    /// All that the program has written so far.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of what the program has written, for a message.
    pub fn last_words(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        format!("--- {}:\n{}", self.name, shown.join("\n"))
    }

    /// Waits until a line of the output is the one: programs write their logs when they come to it.
    pub async fn wait_for_line(&self, is_it: impl Fn(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.output().lines().any(&is_it) {
                return Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Err(Failure(format!(
            "no such line within 10 s:\n{}",
            self.last_words()
        )))
    }

    /// Asks until `attempt` succeeds, at most for `limit`, and no longer than the program runs.
    ///
    /// # Errors
    ///
    /// The last attempt's, with what the program said.
    pub async fn wait_for<T, F, Fut>(&mut self, limit: Duration, mut attempt: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let start = Instant::now();
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) if start.elapsed() > limit || self.has_ended().is_some() => {
                    let name = &self.name;
                    let failure = Failure(format!("{name} is not ready: {failure}"));
                    return Err(self.explain(&failure));
                }
                Err(_) => tokio::time::sleep(READY_POLL).await,
            }
        }
    }

    /// Adds the end of the program's output to a failure; tells too when the program has ended.
    pub fn explain(&mut self, failure: &Failure) -> Failure {
        let ended = match self.child.try_wait() {
            Ok(Some(status)) => format!(" (it has ended: {status})"),
            _ => String::new(),
        };
        Failure(format!("{failure}{ended}\n{}", self.last_words()))
    }

    /// How the program ended; `None` while it runs.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The end of the pipe that nobody has read so far; `None` when there is none.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Stops the program in the middle of what it does; [`thaw`](Self::thaw) has it go on.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Has a frozen program go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends the program at once, as a loss of power would.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the program to stop, and does not wait for it.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended meanwhile; then there is nobody to tell.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks the program to stop and waits for it; makes it stop when it does not.
    /// `None` when it had to be killed.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        if let Some(status) = self.has_ended() {
            return Some(status);
        }
        self.signal(Signal::TERM);
        // One that was halted would not hear of it.
        self.signal(Signal::CONT);
        let start = Instant::now();
        while start.elapsed() < STOP_LIMIT {
            if let Some(status) = self.has_ended() {
                return Some(status);
            }
            std::thread::sleep(STOP_POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command` from a thread that lives as long as this process does.
///
/// A child's death signal is bound to the *thread* that started it, and the test harness ends
/// the thread of a test that has passed while others still use what it started.
fn spawn(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<Sender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                // Whoever asked waits for the answer.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, started) = channel();
    keeper.send((command, answer)).map_err(io::Error::other)?;
    started.recv().map_err(io::Error::other)?
}

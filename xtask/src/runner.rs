//! Runs steps one after the other: a heading, a time limit, a log file, what passed and failed, and a summary.
//!
//! A step never reads standard input, never outlives its limit, and leaves no process behind.

use crate::process::{self, Cleanup, MARK};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How the tests of a step are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// The step itself is one test.
    Step,
    /// Sum of the `test result:` lines of the Rust test harness.
    CargoTest,
    /// The last line of the form `N passed, N failed`; without one, the step itself.
    ClosingLine,
}

pub struct Step {
    pub name: String,
    pub limit: Duration,
    pub count: Count,
    pub command: Command,
}

impl Step {
    pub fn new(name: impl Into<String>, minutes: u64, count: Count, command: Command) -> Step {
        Step { name: name.into(), limit: Duration::from_secs(minutes * 60), count, command }
    }
}

struct Outcome {
    name: String,
    took: Duration,
    ok: bool,
    note: String,
    passed: u64,
    failed: u64,
}

pub struct Runner {
    pub cleanup: Cleanup,
    mark: String,
    temporary: PathBuf,
    logs: PathBuf,
    verbose: bool,
    path: Vec<PathBuf>,
    outcomes: Vec<Outcome>,
}

impl Runner {
    /// Makes the temporary folder of this run. Logs stay, in `<target>/xtask`, until the next run.
    pub fn new(target: &Path, verbose: bool) -> Result<Runner> {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let mark = format!("{}-{nanos:x}", std::process::id());
        let temporary = std::env::temp_dir().join(format!("avouch-{mark}"));
        let cleanup = Cleanup::default();
        cleanup.on_signals()?;
        // Others may pass through it (PostgreSQL runs as another user when this runs as root), not list it.
        std::fs::DirBuilder::new().mode(0o711).create(&temporary).context("temporary folder")?;
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o711))?;
        cleanup.add_folder(&temporary);
        cleanup.add_mark(&mark);
        let logs = target.join("xtask");
        std::fs::create_dir_all(&logs)?;
        std::fs::create_dir(temporary.join("tmp"))?;
        std::fs::create_dir(temporary.join("home"))?;
        Ok(Runner { cleanup, mark, temporary, logs, verbose, path: Vec::new(), outcomes: Vec::new() })
    }

    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// An empty home folder, for programs that keep state there.
    pub fn home(&self) -> PathBuf {
        self.temporary.join("home")
    }

    /// Later steps find the programs of this folder before those of the caller's `PATH`.
    pub fn add_to_path(&mut self, folder: &Path) {
        if !self.path.iter().any(|known| known == folder) {
            self.path.push(folder.to_owned());
        }
    }

    /// Runs one step and tells whether it went well.
    pub fn run(&mut self, step: Step) -> bool {
        println!("\n== {}", step.name);
        let started = Instant::now();
        let (name, count) = (step.name.clone(), step.count);
        let (ok, note, seen) = match self.drive(step) {
            Ok(done) => done,
            Err(error) => (false, format!("{error:#}"), Seen::default()),
        };
        let (passed, failed) = match (count, seen.counted) {
            // A harness that failed without a failed test did not build, or was killed.
            (Count::CargoTest, _) => (seen.passed, if ok { seen.failed } else { seen.failed.max(1) }),
            (Count::ClosingLine, true) => (seen.passed, if ok { seen.failed } else { seen.failed.max(1) }),
            _ => (u64::from(ok), u64::from(!ok)),
        };
        // A harness that ran nothing has shown nothing.
        let nothing = matches!(count, Count::CargoTest | Count::ClosingLine) && ok && passed + failed == 0;
        let (failed, note) =
            if nothing { (1, "not a single test was run".to_owned()) } else { (failed, note) };
        self.record(Outcome { name, took: started.elapsed(), ok: ok && failed == 0, note, passed, failed })
    }

    /// Runs a piece of this program as a step: `Err` is a failure.
    pub fn inline<T>(&mut self, name: &str, work: impl FnOnce(&mut Runner) -> Result<T>) -> Option<T> {
        println!("\n== {name}");
        let started = Instant::now();
        let result = work(self);
        let (ok, note) = match &result {
            Ok(_) => (true, String::new()),
            Err(error) => (false, format!("{error:#}")),
        };
        let (passed, failed) = (u64::from(ok), u64::from(!ok));
        self.record(Outcome { name: name.to_owned(), took: started.elapsed(), ok, note, passed, failed });
        result.ok()
    }

    /// A step that could not start because an earlier one failed.
    pub fn not_run(&mut self, name: &str, why: &str) {
        println!("\n== {name}");
        self.record(Outcome {
            name: name.to_owned(),
            took: Duration::ZERO,
            ok: false,
            note: format!("not run: {why}"),
            passed: 0,
            failed: 1,
        });
    }

    /// Runs a helper command inside a step: its output is shown only when it fails.
    pub fn call(&self, mut command: Command, limit: Duration) -> Result<()> {
        let shown = format!("{command:?}");
        self.prepare(&mut command);
        let log = self.logs.join("call.log");
        let file = File::create(&log)?;
        command.stdout(file.try_clone()?).stderr(file);
        let mut child = command.spawn().with_context(|| shown.clone())?;
        self.cleanup.add_group(child.id());
        let status = wait(&mut child, limit)?;
        process::kill_group(child.id());
        self.cleanup.forget_group(child.id());
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => anyhow::bail!("{shown}: {status}\n{}", tail(&log, 20)),
            None => anyhow::bail!("{shown}: killed after {} s\n{}", limit.as_secs(), tail(&log, 20)),
        }
    }

    /// Prints the summary and tells whether everything went well.
    pub fn finish(self) -> bool {
        println!("\n== summary");
        let (mut passed, mut failed, mut ok) = (0, 0, true);
        for outcome in &self.outcomes {
            let verdict = if outcome.ok { "ok  " } else { "FAIL" };
            let seconds = outcome.took.as_secs_f64();
            print!("  {verdict}  {:<24} {seconds:>8.1} s  {} passed", outcome.name, outcome.passed);
            if outcome.failed > 0 {
                print!(", {} failed", outcome.failed);
            }
            match outcome.note.lines().next() {
                Some(note) => println!("  ({note})"),
                None => println!(),
            }
            passed += outcome.passed;
            failed += outcome.failed;
            ok &= outcome.ok;
        }
        println!("\n{passed} passed, {failed} failed");
        ok && !self.outcomes.is_empty()
    }

    fn record(&mut self, outcome: Outcome) -> bool {
        let verdict = if outcome.ok { "ok" } else { "FAILED" };
        if !outcome.note.is_empty() {
            println!("{}", outcome.note);
        }
        println!("== {}: {verdict} in {:.1} s", outcome.name, outcome.took.as_secs_f64());
        let ok = outcome.ok;
        self.outcomes.push(outcome);
        ok
    }

    fn prepare(&self, command: &mut Command) {
        command.stdin(Stdio::null()).process_group(0);
        command.env(MARK, &self.mark).env("TMPDIR", self.temporary.join("tmp"));
        let given = std::env::var_os("PATH").unwrap_or_default();
        if let Ok(path) = std::env::join_paths(self.path.iter().cloned().chain(std::env::split_paths(&given)))
        {
            command.env("PATH", path);
        }
        for (name, _) in std::env::vars_os() {
            let Some(text) = name.to_str() else { continue };
            // What `cargo run` tells about this program must not reach the builds that it starts.
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
    }

    fn drive(&self, step: Step) -> Result<(bool, String, Seen)> {
        let Step { name, limit, count, mut command } = step;
        self.prepare(&mut command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let log = self.logs.join(format!("{}.log", name.replace([' ', '/'], "-")));
        let sink = Sink { log: File::create(&log)?, count, verbose: self.verbose, seen: Seen::default() };
        let sink = Arc::new(Mutex::new(sink));
        let mut child = command.spawn().with_context(|| format!("{:?}", command.get_program()))?;
        self.cleanup.add_group(child.id());
        let mut readers = Vec::new();
        if let Some(stream) = child.stdout.take() {
            readers.push(copy(stream, sink.clone()));
        }
        if let Some(stream) = child.stderr.take() {
            readers.push(copy(stream, sink.clone()));
        }
        let status = wait(&mut child, limit)?;
        process::kill_group(child.id());
        self.cleanup.forget_group(child.id());
        let left = process::kill_marked(&self.mark);
        for reader in readers {
            // A reader ends with its stream, and everybody who could hold the stream is gone.
            let _ = reader.join();
        }
        let seen = sink.lock().unwrap_or_else(PoisonError::into_inner).seen;
        let mut note = match status {
            Some(status) if status.success() => String::new(),
            Some(status) => format!("{status}; log: {}", log.display()),
            None => format!("killed after {} s; log: {}", limit.as_secs(), log.display()),
        };
        if left > 0 && status.is_some() {
            note.push_str(&format!("{left} left-over processes ended"));
        }
        Ok((status.is_some_and(|status| status.success()), note, seen))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.cleanup.run();
    }
}

#[derive(Clone, Copy, Default)]
struct Seen {
    passed: u64,
    failed: u64,
    counted: bool,
}

struct Sink {
    log: File,
    count: Count,
    verbose: bool,
    seen: Seen,
}

impl Sink {
    fn line(&mut self, line: &str) {
        // The log is a convenience: a full disk shows up in the steps themselves.
        let _ = writeln!(self.log, "{line}");
        let mut show = true;
        match self.count {
            Count::Step => {}
            Count::CargoTest => {
                if let Some((passed, failed)) = harness_result(line) {
                    self.seen.passed += passed;
                    self.seen.failed += failed;
                    self.seen.counted = true;
                    show = passed + failed > 0;
                } else {
                    let noise = line.is_empty()
                        || line.starts_with("running ")
                        || (line.starts_with("test ")
                            && (line.ends_with("... ok") || line.ends_with("- should panic ... ok")));
                    show = self.verbose || !noise;
                }
            }
            Count::ClosingLine => {
                if let Some((passed, failed)) = closing_line(line) {
                    self.seen = Seen { passed, failed, counted: true };
                }
            }
        }
        if show {
            println!("{line}");
        }
    }
}

fn copy(stream: impl Read + Send + 'static, sink: Arc<Mutex<Sink>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&bytes);
            sink.lock().unwrap_or_else(PoisonError::into_inner).line(text.trim_end_matches(['\r', '\n']));
            bytes.clear();
        }
    })
}

/// `None` when the limit ran out: the caller then kills the group.
fn wait(child: &mut std::process::Child, limit: Duration) -> Result<Option<std::process::ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit {
            process::kill_group(child.id());
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The last lines of a file, for error texts.
pub fn tail(file: &Path, lines: usize) -> String {
    let text =
        std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).copied().collect::<Vec<_>>().join("\n")
}

/// `test result: ok. 12 passed; 0 failed; …` → (12, 0)
fn harness_result(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let (_, rest) = rest.split_once(". ")?;
    let mut parts = rest.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

/// `12 passed, 0 failed`, with at most one word and a colon before it, and `, N skipped` after it.
fn closing_line(line: &str) -> Option<(u64, u64)> {
    let text = match line.split_once(": ") {
        Some((word, rest)) if !word.contains(' ') => rest,
        _ => line,
    };
    let mut parts = text.trim().split(", ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harness_results_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(harness_result(line), Some((12, 3)));
        assert_eq!(harness_result("test result is unknown"), None);
    }

    #[test]
    fn closing_lines_are_read() {
        assert_eq!(closing_line("node: 7 passed, 0 failed"), Some((7, 0)));
        assert_eq!(closing_line("7 passed, 1 failed, 2 skipped"), Some((7, 1)));
        assert_eq!(closing_line("all 7 passed, 1 failed"), None);
    }

    fn runner(name: &str) -> Runner {
        let target = std::env::temp_dir().join(format!("avouch-runner-{name}-{}", std::process::id()));
        let runner = Runner::new(&target, false).unwrap();
        runner.cleanup.add_folder(&target);
        runner
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn step_over_its_limit_is_killed_with_its_children() {
        let mut runner = runner("slow");
        let step = Step {
            name: "slow".into(),
            limit: Duration::from_millis(300),
            count: Count::Step,
            command: shell("sleep 61.25 & sleep 61.25"),
        };
        let started = Instant::now();
        assert!(!runner.run(step));
        assert!(started.elapsed() < Duration::from_secs(20));
        assert_eq!(process::kill_marked(&runner.mark), 0);
        assert!(!runner.finish());
    }

    #[test]
    fn process_that_left_the_group_is_ended() {
        let mut runner = runner("daemon");
        let step = Step::new("daemon", 1, Count::Step, shell("setsid sleep 62.5 & sleep 0.2"));
        assert!(runner.run(step));
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(process::kill_marked(&runner.mark), 0);
    }

    #[test]
    fn failure_without_a_failed_test_counts_as_one() {
        let mut runner = runner("harness");
        let script = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101";
        assert!(!runner.run(Step::new("harness", 1, Count::CargoTest, shell(script))));
        assert_eq!((runner.outcomes[0].passed, runner.outcomes[0].failed), (2, 1));
        let temporary = runner.temporary().to_owned();
        assert!(!runner.finish());
        assert!(!temporary.exists());
    }
}

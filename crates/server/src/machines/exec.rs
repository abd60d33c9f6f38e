//! Programs run in an instance for a caller.

use std::io::{PipeReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use avouch_agent::client::Client;
use avouch_agent::error::Error as AgentError;
use avouch_agent::protocol::{Exit, InstanceId};
use avouch_gate::{Error, Kind, Result};
use avouch_vpc::instances::exec::{Order, Outcome, Shell};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Most bytes of each of a program's outputs.
const MOST: u64 = 1 << 20;
/// Programs at a time; the helper has room for more callers than these.
const AT_ONCE: usize = 16;

/// Runs programs by the helper.
#[derive(Debug)]
pub struct ByHelper {
    socket: PathBuf,
    room: Arc<Semaphore>,
}

impl ByHelper {
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, room: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// Ends the helper's connection, and by that the program, when it is dropped.
struct Ends(std::os::unix::net::UnixStream);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn told(e: AgentError) -> Error {
    match e {
        AgentError::Refused(refusal) => Error::conflict(format!("It cannot be run: {}.", refusal.message)),
        _ => Error::unavailable("The helper that runs instances cannot be asked."),
    }
}

fn lost<E>(_: E) -> Error {
    Error::unavailable("The program could not be waited for.")
}

/// All that is written there, or nothing when it is too much.
fn all_of(pipe: PipeReader) -> std::io::Result<Option<Vec<u8>>> {
    let mut said = Vec::new();
    pipe.take(MOST + 1).read_to_end(&mut said)?;
    Ok((said.len() as u64 <= MOST).then_some(said))
}

#[async_trait]
impl Shell for ByHelper {
    async fn exec(&self, id: &str, order: Order) -> Result<Outcome> {
        let Ok(_room) = self.room.clone().try_acquire_owned() else {
            return Err(Error::unavailable("Too many programs are run in instances at this time."));
        };
        let id = InstanceId::new(id).map_err(told)?;
        let socket = self.socket.clone();
        let connected = spawn_blocking(move || {
            let client = Client::connect(&socket)?;
            let ends = client.connection()?;
            avouch_agent::Result::Ok((client, Ends(ends.into())))
        });
        let (mut client, ends) = connected.await.map_err(lost)?.map_err(told)?;
        let (input, mut to_input) = std::io::pipe().map_err(Error::internal)?;
        let (output, to_output) = std::io::pipe().map_err(Error::internal)?;
        let (errors, to_errors) = std::io::pipe().map_err(Error::internal)?;
        // It fits into the pipe: a request is no longer than that.
        to_input.write_all(&order.input).map_err(Error::internal)?;
        drop(to_input);
        let run = spawn_blocking(move || {
            let argv: Vec<&str> = order.argv.iter().map(String::as_str).collect();
            client.exec(&id, &argv, &[], [input.as_fd(), to_output.as_fd(), to_errors.as_fd()])
        });
        let output = spawn_blocking(move || all_of(output));
        let errors = spawn_blocking(move || all_of(errors));
        let said = async {
            // The first that writes too much ends everything.
            let read = |done: std::result::Result<std::io::Result<Option<Vec<u8>>>, _>| {
                done.map_err(lost)?.map_err(Error::internal)?.ok_or_else(|| {
                    Error::conflict("The program was ended: it wrote more than 1 MiB.")
                        .code("output_too_long")
                })
            };
            let (output, errors) =
                tokio::try_join!(async { read(output.await) }, async { read(errors.await) })?;
            Ok::<_, Error>((output, errors, run.await.map_err(lost)?.map_err(told)?))
        };
        let done = tokio::time::timeout(Duration::from_secs(order.seconds), said).await;
        drop(ends);
        let late = || {
            Error::new(Kind::Conflict, "The program was ended: it took too long.")
                .code("timeout")
                .with_status(408)
        };
        let (output, errors, exit) = done.map_err(|_| late())??;
        let (status, signal) = match exit {
            Exit::Status(status) => (Some(status), None),
            Exit::Signal(signal) => (None, Some(signal)),
        };
        Ok(Outcome { status, signal, output, errors })
    }
}

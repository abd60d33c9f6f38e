//! The server's side of the conversation: typed calls that wait for their answer. Events that come meanwhile are kept
//! for [`Client::event`]. A call that takes long (`stop`, `exec`) wants a connection of its own.

use crate::error::{Error, Result, Step};
use crate::packet::{Channel, Received};
use crate::protocol::{
    Answer, Call, Event, Exit, HostReport, InstanceId, Message, Metadata, Open, Report, Request, Service,
    VERSION, WorkloadSpec,
};
use crate::record::near;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

pub struct Client {
    channel: Channel,
    host: HostReport,
    next: u64,
    events: VecDeque<Event>,
}

/// The listening sockets of one instance. Whoever connects to one of them is in that instance.
#[derive(Debug)]
pub struct Listeners {
    /// Nothing where the metadata service is off.
    pub metadata: Option<TcpListener>,
    /// Of the services of the installation, each with its port (80 without TLS, 443 with).
    pub services: Vec<(u16, TcpListener)>,
}

impl Client {
    /// Connects and says hello.
    pub fn connect(socket: &Path) -> Result<Client> {
        let missing = || Error::Protocol("socket: wants a path with a folder".to_owned());
        let folder = socket.parent().ok_or_else(missing)?;
        let name = socket.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
        let fd = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .step("socket")?;
        connect(&fd, &near(folder, name)?.1).step("connect to the helper")?;
        let host =
            HostReport { version: 0, uid: 0, layout: None, layouts: Vec::new(), launchers: Vec::new() };
        let mut client = Client { channel: Channel::new(fd), host, next: 1, events: VecDeque::new() };
        match client.call(Request::Hello { version: VERSION }, &[])? {
            (Answer::Host(host), _) => client.host = host,
            _ => return Err(out_of_step()),
        }
        Ok(client)
    }

    /// Another handle of the connection: shut down, it ends the call that waits on it.
    pub fn connection(&self) -> Result<OwnedFd> {
        self.channel.as_fd().try_clone_to_owned().step("another handle of the connection")
    }

    /// What the helper's host allows.
    pub fn host(&self) -> &HostReport {
        &self.host
    }

    pub fn open(&mut self, open: Open) -> Result<(Report, Listeners)> {
        self.report(Request::Open(open))
    }

    pub fn reopen(
        &mut self,
        instance: &InstanceId,
        metadata: Option<Metadata>,
    ) -> Result<(Report, Listeners)> {
        self.report(Request::Reopen { instance: instance.clone(), metadata })
    }

    pub fn start(&mut self, instance: &InstanceId, workload: WorkloadSpec) -> Result<Report> {
        Ok(self.report(Request::Start { instance: instance.clone(), workload })?.0)
    }

    pub fn stop(&mut self, instance: &InstanceId, grace_ms: u64) -> Result<Report> {
        Ok(self.report(Request::Stop { instance: instance.clone(), grace_ms })?.0)
    }

    pub fn kill(&mut self, instance: &InstanceId) -> Result<Report> {
        Ok(self.report(Request::Kill { instance: instance.clone() })?.0)
    }

    /// Drop the listeners first: the namespace goes when the last of its sockets is closed.
    pub fn close(&mut self, instance: &InstanceId) -> Result<()> {
        match self.call(Request::Close { instance: instance.clone() }, &[])? {
            (Answer::Done, _) => Ok(()),
            _ => Err(out_of_step()),
        }
    }

    pub fn list(&mut self) -> Result<Vec<InstanceId>> {
        match self.call(Request::List, &[])? {
            (Answer::Instances(ids), _) => Ok(ids),
            _ => Err(out_of_step()),
        }
    }

    /// State and sockets of an instance: what a server that was started anew asks for each of the list.
    pub fn sockets(&mut self, instance: &InstanceId) -> Result<(Report, Listeners)> {
        self.report(Request::Sockets { instance: instance.clone() })
    }

    /// Runs a program in the instance and waits for its end.
    pub fn exec(
        &mut self,
        instance: &InstanceId,
        argv: &[&str],
        env: &[(&str, &str)],
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Exit> {
        let argv = argv.iter().map(|&word| word.to_owned()).collect();
        let env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        match self.call(Request::Exec { instance: instance.clone(), argv, env }, &stdio)? {
            (Answer::Exit(exit), _) => Ok(exit),
            _ => Err(out_of_step()),
        }
    }

    /// Waits for the next event.
    pub fn event(&mut self) -> Result<Event> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        match self.receive()? {
            (Message::Event(event), _) => Ok(event),
            _ => Err(out_of_step()),
        }
    }

    fn report(&mut self, request: Request) -> Result<(Report, Listeners)> {
        let (Answer::Report(report), fds) = self.call(request, &[])? else { return Err(out_of_step()) };
        let mut listeners = Listeners { metadata: None, services: Vec::new() };
        for (socket, fd) in report.sockets.iter().zip(fds) {
            match socket.service {
                Service::Metadata => listeners.metadata = Some(TcpListener::from(fd)),
                Service::Services => listeners.services.push((socket.port, TcpListener::from(fd))),
            }
        }
        Ok((report, listeners))
    }

    fn call(&mut self, request: Request, fds: &[BorrowedFd<'_>]) -> Result<(Answer, Vec<OwnedFd>)> {
        let wanted = self.next;
        self.next += 1;
        self.channel.send(&Call { id: wanted, request }, fds)?;
        loop {
            match self.receive()? {
                (Message::Reply { id, answer }, fds) if id == wanted => return Ok((answer, fds)),
                (Message::Refusal { id, refusal }, _) if id == wanted || id == 0 => {
                    return Err(Error::Refused(refusal));
                }
                (Message::Event(event), _) => self.events.push_back(event),
                _ => return Err(out_of_step()),
            }
        }
    }

    fn receive(&self) -> Result<(Message, Vec<OwnedFd>)> {
        match self.channel.receive()? {
            Received::Message(message, fds) => Ok((message, fds)),
            Received::Garbage(why) => Err(Error::Protocol(why)),
            Received::Closed => Err(Error::Closed),
        }
    }
}

/// Starts a helper and waits until it answers requests. It goes on when the caller has ended. What it still prints
/// comes from the reader.
pub fn launch(command: &mut Command) -> Result<(Child, BufReader<ChildStdout>)> {
    let mut helper = command.stdout(Stdio::piped()).spawn().step("start the helper")?;
    let output =
        helper.stdout.take().ok_or_else(|| Error::Protocol("the helper has no output".to_owned()))?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line).step("wait for the helper")?;
    if line.starts_with("listening on ") {
        return Ok((helper, output));
    }
    // Its reason is on the standard error, which is the caller's.
    let status = helper.wait().step("wait for the helper")?;
    Err(Error::Protocol(format!("the helper has ended with {status}")))
}

/// For a poll loop: readable when an event or the end of the connection waits.
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

fn out_of_step() -> Error {
    Error::Protocol("the helper's answer is to another question".to_owned())
}

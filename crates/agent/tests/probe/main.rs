//! What the tests run inside an instance, and what plays a host around a helper: one word of work, its answer on the
//! standard output. Has one thread, as the namespace calls want.
#![allow(unsafe_code, clippy::unwrap_used)]

use avouch_agent::netlink::{Netlink, Route, Through};
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

type Outcome = Result<String, Box<dyn std::error::Error>>;

/// Only for what must not happen: a connection that comes to be does so at once.
const PATIENCE: Duration = Duration::from_secs(2);
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["get", address] => get(address.parse().unwrap()),
        ["get-and-stay", address] => {
            println!("{}", get(address.parse().unwrap()).unwrap());
            loop {
                std::thread::park();
            }
        }
        ["listen", address] => listen(address),
        ["drop-address", link, address] => drop_address(link, address.parse().unwrap()),
        ["uncover", path] => uncover(path),
        ["nested"] => nested(),
        ["nested-inner"] => nested_inner(),
        ["decoy", ref command @ ..] => decoy(command),
        ["say", path, text] => say(path, text),
        ["list", path] => list(path),
        ["socket", family] => socket(family.parse().unwrap()),
        _ => Err("unknown word".into()),
    };
    match outcome {
        Ok(text) => {
            // Who asked may have gone.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            let _ = writeln!(std::io::stdout(), "refused: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The names in a folder.
fn list(path: &str) -> Outcome {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names.join(" "))
}

/// Whether this kind of socket can be made at all.
fn socket(family: u16) -> Outcome {
    let family = rustix::net::AddressFamily::from_raw(family);
    Ok(match rustix::net::socket(family, rustix::net::SocketType::DGRAM, None) {
        Ok(_) => "made".to_owned(),
        Err(rustix::io::Errno::AFNOSUPPORT) => "refused".to_owned(),
        Err(e) => format!("not made: {e}"),
    })
}

/// What the one who accepts says.
fn get(address: SocketAddr) -> Outcome {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn listen(address: &str) -> Outcome {
    let listener = TcpListener::bind(address)?;
    Ok(format!("listening on {}", listener.local_addr()?))
}

fn drop_address(link: &str, address: Ipv4Addr) -> Outcome {
    let mut netlink = Netlink::open()?;
    let index = netlink.index(link)?;
    netlink.remove_address(index, address, 32)?;
    Ok("dropped".to_owned())
}

/// Tries to see what a mount covers: by taking it away, and from a user namespace with all capabilities.
fn uncover(path: &str) -> Outcome {
    let mut told = Vec::new();
    told.push(format!("unmount {}", unmount(path, UnmountFlags::DETACH).is_ok()));
    // SAFETY: neither FILES nor FS.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }?;
    told.push(format!("unmount in a namespace {}", unmount(path, UnmountFlags::DETACH).is_ok()));
    let seen = fs::read_dir(path).map(|entries| entries.count()).unwrap_or_default();
    told.push(format!("entries {seen}"));
    Ok(told.join(", "))
}

/// A container inside the instance: a network namespace one hop further in.
fn nested() -> Outcome {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let mut inner = Command::new(std::env::current_exe()?)
        .arg("nested-inner")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(inner.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    let namespace = File::open(format!("/proc/{}/ns/net", inner.id()))?;
    let mut netlink = Netlink::open()?;
    netlink.veth("inner0", "outer0", namespace.as_fd())?;
    let link = netlink.index("inner0")?;
    netlink.up(link)?;
    let far = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));
    netlink.add_address(link, Ipv4Addr::new(10, 9, 0, 1), 32)?;
    let how = Through::Link { index: link, source: Ipv4Addr::new(10, 9, 0, 1) };
    netlink.add_route(&Route { to: far, prefix: 32, how })?;
    writeln!(inner.stdin.take().ok_or("no input")?, "go")?;
    line.clear();
    said.read_line(&mut line)?;
    inner.wait()?;
    Ok(line.trim().to_owned())
}

fn nested_inner() -> Outcome {
    // SAFETY: neither FILES nor FS.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) }?;
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let mut netlink = Netlink::open()?;
    let link = netlink.index("outer0")?;
    netlink.add_address(link, Ipv4Addr::new(10, 9, 0, 2), 32)?;
    netlink.up(link)?;
    let how = Through::Neighbour { index: link, gateway: Ipv4Addr::new(10, 9, 0, 1) };
    netlink.add_route(&Route { to: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0, how })?;
    get(SocketAddr::from((METADATA, 80)))
}

/// Plays a cloud machine: a network namespace in which somebody answers at the metadata address. Runs a command there
/// and says, a line for each line of its own input, how many connections have come.
fn decoy(command: &[&str]) -> Outcome {
    // SAFETY: neither FILES nor FS.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    let mut netlink = Netlink::open()?;
    let lo = netlink.index("lo")?;
    netlink.up(lo)?;
    netlink.add_address(lo, METADATA, 32)?;
    let mut decoys = Vec::new();
    for port in [80, 443] {
        let listener = TcpListener::bind((METADATA, port))?;
        listener.set_nonblocking(true)?;
        decoys.push(listener);
    }
    let (program, rest) = command.split_first().ok_or("no command")?;
    let mut child = Command::new(program).args(rest).stdin(Stdio::null()).spawn()?;
    let mut seen = 0;
    for line in std::io::stdin().lines() {
        if line? == "connect" {
            drop(TcpStream::connect((METADATA, 80))?);
        }
        while decoys.iter().any(|decoy| decoy.accept().is_ok()) {
            seen += 1;
        }
        println!("{seen}");
    }
    child.kill()?;
    child.wait()?;
    Ok("ended".to_owned())
}

/// Whether somebody accepts at a socket's path.
fn say(path: &str, text: &str) -> Outcome {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, send, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    send(&socket, text.as_bytes(), rustix::net::SendFlags::NOSIGNAL)?;
    let mut answer = vec![0u8; 4096];
    let (_, length) = rustix::net::recv(&socket, &mut answer[..], rustix::net::RecvFlags::empty())?;
    Ok(format!("answered with {length} bytes"))
}

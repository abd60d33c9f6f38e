//! The helper's socket: who may speak, and what of it is understood.

use crate::world::{Kind, each, only};
use avouch_agent::packet::{Channel, Received};
use avouch_agent::protocol::{InstanceId, Message, Metadata, Open, Protocol};
use avouch_agent::{Client, Code, Error};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

pub fn raw(path: &Path) -> Channel {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    Channel::new(socket)
}

fn say(channel: &Channel, text: &[u8]) -> Message {
    send(channel.as_fd(), text, SendFlags::NOSIGNAL).unwrap();
    match channel.receive().unwrap() {
        Received::Message(message, _) => message,
        Received::Garbage(why) => panic!("{why}"),
        Received::Closed => panic!("closed"),
    }
}

fn refused(message: Message, wanted: Code) {
    let Message::Refusal { refusal, .. } = message else { panic!("{message:?}") };
    assert_eq!(refusal.code, wanted, "{}", refusal.message);
    assert!(!refusal.message.contains("s3cret"), "{}", refusal.message);
}

#[test]
fn what_is_no_message_is_answered_and_does_no_harm() {
    each(|world| {
        let channel = raw(&world.socket());
        for text in [
            &b"s3cret"[..],
            b"{}",
            b"{\"id\":1,\"request\":\"s3cret\"}",
            b"{\"id\":1,\"request\":{\"open\":{\"instance\":\"../s3cret\",\"metadata\":null,\"service_hosts\":[]}}}",
            b"\xff\xfe",
            &vec![b'['; 190_000],
        ] {
            refused(say(&channel, text), Code::BadRequest);
        }
        assert!(matches!(
            say(&channel, b"{\"id\":1,\"request\":{\"hello\":{\"version\":1}}}"),
            Message::Reply { id: 1, .. }
        ));
    });
}

#[test]
fn hello_comes_first_and_in_the_same_version() {
    each(|world| {
        let channel = raw(&world.socket());
        refused(say(&channel, b"{\"id\":1,\"request\":\"list\"}"), Code::BadRequest);
        refused(say(&channel, b"{\"id\":2,\"request\":{\"hello\":{\"version\":99}}}"), Code::BadRequest);
        refused(say(&channel, b"{\"id\":3,\"request\":\"list\"}"), Code::BadRequest);
    });
}

#[test]
fn the_socket_is_for_its_owner_alone() {
    each(|world| {
        let path = world.socket();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(world.dir.path().join("state").metadata().unwrap().mode() & 0o777, 0o700);
    });
}

#[test]
fn another_user_is_not_listened_to_even_if_he_reaches_the_socket() {
    only(Kind::Rootless, |world| {
        if !rustix::process::geteuid().is_root() {
            return crate::world::missing("Rootless: a second user, for the tests do not run as root");
        }
        let probe = crate::world::copy(env!("CARGO_BIN_EXE_agent-probe"), &world.dir);
        let hello = r#"{"id":1,"request":{"hello":{"version":1}}}"#;
        let say = |uid: u32| {
            let mut command = std::process::Command::new(&probe);
            let output =
                command.arg("say").arg(world.socket()).arg(hello).uid(uid).gid(uid).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        assert!(say(65_533).starts_with("refused: "));
        for (path, mode) in [(world.socket().parent().unwrap().to_owned(), 0o777), (world.socket(), 0o666)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_ne!(say(65_534), "answered with 0 bytes");
        let other = say(65_533);
        assert!(other == "answered with 0 bytes" || other.starts_with("refused: "), "{other}");
    });
}

#[test]
fn requests_that_make_no_sense_are_refused_by_the_name_of_the_field() {
    each(|world| {
        let id = InstanceId::new("a").unwrap();
        let none = InstanceId::new("none").unwrap();
        let code = |result: Result<(), Error>| match result {
            Err(Error::Refused(refusal)) => {
                (refusal.code, refusal.message.split(':').next().unwrap().to_owned())
            }
            other => panic!("{other:?}"),
        };
        let open = |hop_limit, host: &str| Open {
            instance: id.clone(),
            metadata: Some(Metadata { protocol: Protocol::Http, hop_limit }),
            service_hosts: vec![host.to_owned()],
            hide: Vec::new(),
        };
        let client: &mut Client = &mut world.client;
        for hop_limit in [0, 65] {
            let refused = client.open(open(hop_limit, "a")).map(|_| ());
            assert_eq!(code(refused), (Code::BadRequest, "hop_limit".to_owned()));
        }
        let refused = client.open(open(1, "a\n127.0.0.1 s3cret")).map(|_| ());
        assert_eq!(code(refused), (Code::BadRequest, "service_hosts".to_owned()));
        assert_eq!(code(client.kill(&none).map(|_| ())).0, Code::NotFound);
        assert_eq!(code(client.close(&none)).0, Code::NotFound);
        assert_eq!(code(client.sockets(&none).map(|_| ())).0, Code::NotFound);
        client.open(open(1, "a")).unwrap();
        assert_eq!(code(client.open(open(1, "a")).map(|_| ())).0, Code::Conflict);
        client
            .start(
                &id,
                crate::world::spec(crate::world::argv(&["sh", "-c", "mkfifo /tmp/n; read x </tmp/n"])),
            )
            .unwrap();
        let again = client.start(&id, crate::world::spec(crate::world::argv(&["true"]))).map(|_| ());
        assert_eq!(code(again).0, Code::WrongState);
    });
}

#[test]
fn only_one_helper_has_a_folder() {
    only(Kind::Rootless, |world| {
        let second = std::process::Command::new(world.dir.path().join("avouch-agent"))
            .arg("--socket")
            .arg(world.dir.path().join("other/agent.sock"))
            .arg("--state")
            .arg(world.dir.path().join("state"))
            .output()
            .unwrap();
        assert!(!second.status.success());
        let said = String::from_utf8_lossy(&second.stderr);
        // As root the test starts it in the folder of another user.
        assert!(said.contains("another helper") || said.contains("must be the helper's own"), "{second:?}");
    });
}

#[test]
fn the_report_says_what_the_host_allows() {
    each(|world| {
        let host = world.client.host();
        assert!(host.launchers.iter().all(|l| l.why_not.is_none()), "{host:?}");
        let wanted = if world.kind == Kind::Companion {
            avouch_agent::protocol::Layout::Companion
        } else {
            avouch_agent::protocol::Layout::Own
        };
        assert_eq!(host.layout, Some(wanted));
        let companion = &host.layouts[0];
        assert_eq!(companion.why_not.is_some(), world.kind == Kind::Rootless);
    });
}

#[test]
fn a_helper_of_root_serves_the_servers_user() {
    if !rustix::process::geteuid().is_root() {
        return crate::world::missing("a helper of root: the tests do not run as root");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let probe = crate::world::copy(env!("CARGO_BIN_EXE_agent-probe"), &dir);
    let socket = dir.path().join("run/agent.sock");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_avouch-agent"));
    command
        .arg("--socket")
        .arg(&socket)
        .arg("--state")
        .arg(dir.path().join("state"))
        .args(["--server-uid", "65534"]);
    let (mut helper, _) = avouch_agent::client::launch(&mut command).unwrap();
    let hello = r#"{"id":1,"request":{"hello":{"version":1}}}"#;
    let say = |uid: u32| {
        let output =
            std::process::Command::new(&probe).arg("say").arg(&socket).arg(hello).uid(uid).gid(uid).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    };
    let (server, other) = (say(65_534), say(65_533));
    helper.kill().unwrap();
    helper.wait().unwrap();
    assert!(server.starts_with("answered with ") && !server.starts_with("answered with 0 "), "{server}");
    assert!(other.starts_with("refused: "), "{other}");
}

//! What a workload cannot see or do.

use crate::world::{Kind, METADATA, Machine, argv, each, only, spec};
use avouch_agent::protocol::Exit;
use std::fs;
use std::os::fd::AsFd;
use std::process::Command;

#[test]
fn the_files_of_the_installation_do_not_exist_inside() {
    each(|world| {
        let machine = world.boot("a");
        let beside = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(beside.path(), "of the host").unwrap();
        fs::set_permissions(beside.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let beside_seen = machine.run(&["cat", beside.path().to_str().unwrap()]);
        if beside_seen.out != "of the host" {
            println!("the folder of the tests is not visible in instances anyway: {beside_seen:?}");
        }
        let hidden = world.hidden.path().to_str().unwrap();
        assert_eq!(machine.run(&["ls", "-A", hidden]).out, "");
        assert_eq!(
            machine.probe(&["uncover", hidden]),
            "unmount false, unmount in a namespace false, entries 0"
        );
        let socket = world.socket();
        assert!(machine.probe(&["say", socket.to_str().unwrap(), "{}"]).starts_with("refused: "));
        assert_ne!(machine.run(&["ls", socket.to_str().unwrap()]).exit, Exit::Status(0));
        assert_ne!(
            machine.run(&["ls", world.dir.path().join("state").to_str().unwrap()]).exit,
            Exit::Status(0)
        );
    });
}

#[test]
fn what_is_hidden_in_etc_is_hidden_in_both_places_and_links_hide_nothing() {
    each(|world| {
        let root = world.dir.path().join("image");
        image(&root);
        let kept = root.join("etc/kept");
        fs::create_dir_all(&kept).unwrap();
        fs::write(kept.join("key"), "of the installation").unwrap();
        fs::write(root.join("etc/open"), "of everybody").unwrap();
        let aside = world.dir.path().join("aside");
        std::os::unix::fs::symlink(&kept, &aside).unwrap();
        let machine = world.open_hiding("a", vec![aside]);
        let mut spec = spec(argv(&["/probe", "get-and-stay", METADATA]));
        spec.root = Some(root);
        let _at = machine.answer("you are a\n");
        world.client.start(&machine.id, spec).unwrap();
        world.wait_for_console(&machine.id, "you are a\n");
        let seen = |path: &str| machine.probe_at("/probe", &["list", path]);
        for path in ["/etc/kept", "/etc/.base/kept"] {
            assert!(!seen(path).contains("key"), "{path}: {}", seen(path));
        }
        assert!(seen("/etc").contains("open") && seen("/etc/.base").contains("open"));
    });
}

#[test]
fn sockets_that_no_namespace_holds_are_refused_and_those_of_networks_are_not() {
    each(|world| {
        let machine = world.boot("a");
        let make = |family: &str| machine.probe(&["socket", family]);
        // AF_VSOCK, AF_ALG, AF_BLUETOOTH.
        for family in ["40", "38", "31"] {
            assert_eq!(make(family), "refused", "{family}");
        }
        for family in ["1", "2", "16"] {
            assert_eq!(make(family), "made", "{family}");
        }
    });
}

#[test]
fn other_users_inside_read_the_names_of_the_services() {
    only(Kind::Companion, |world| {
        let machine = world.boot("a");
        assert_eq!(machine.shell("stat -c %a /etc/hosts /etc/resolv.conf"), "644\n644");
    });
}

#[test]
fn no_process_of_the_host_is_seen_and_the_first_process_is_closed() {
    each(|world| {
        let machine = world.boot("a");
        let pids = machine.shell("ls /proc | grep -c '^[0-9]*$'");
        assert!(pids.parse::<u32>().unwrap() <= 8, "{pids}");
        for look in [
            "ls -l /proc/1/fd/0",
            "cat /proc/1/environ",
            "head -c 1 /proc/1/mem",
            "ls /proc/1/root/",
            "cat /proc/1/maps",
            "readlink /proc/1/ns/mnt",
            "ls -l /proc/1/cwd/",
        ] {
            let output = machine.run(&["sh", "-c", look]);
            assert!(output.exit != Exit::Status(0) || output.out.is_empty(), "{look}: {output:?}");
        }
        machine.run(&["sh", "-c", "kill -9 1; kill -TERM 1; kill -STOP 1"]);
        assert_eq!(machine.shell("echo alive"), "alive");
    });
}

#[test]
fn a_workload_has_no_right_on_the_host() {
    each(|world| {
        let machine = world.boot("a");
        let status = machine.shell("cat /proc/self/status");
        let of = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(&format!("{name}:"))).unwrap();
            line.split_whitespace().next().unwrap().to_owned()
        };
        let admin = 1u64 << 21;
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(u64::from_str_radix(&of(set), 16).unwrap() & admin, 0, "{set}");
        }
        assert_eq!((of("NoNewPrivs").as_str(), of("Uid").as_str()), ("1", "0"));
        // As the host sees it.
        let host = fs::read_to_string(format!("/proc/{}/status", machine.report.init)).unwrap();
        let uid = host.lines().find_map(|l| l.strip_prefix("Uid:")).unwrap();
        let uid: u32 = uid.split_whitespace().next().unwrap().parse().unwrap();
        match world.kind {
            Kind::Rootless if rustix::process::geteuid().is_root() => assert_eq!(uid, 65_534),
            Kind::Rootless => assert_eq!(uid, rustix::process::geteuid().as_raw()),
            Kind::Companion | Kind::Own => assert!(uid >= 0x7000_0000, "{uid}"),
        }
        for wish in
            ["mount -t tmpfs none /srv", "touch /usr/x", "touch /x", "mknod /tmp/d b 1 1", "date -s 00:00"]
        {
            assert_ne!(machine.run(&["sh", "-c", wish]).exit, Exit::Status(0), "{wish}");
        }
    });
}

#[test]
fn two_instances_run_as_different_users_of_the_host_where_the_helper_is_root() {
    for kind in [Kind::Companion, Kind::Own] {
        only(kind, |world| {
            let (a, b) = (world.boot("a"), world.boot("b"));
            let map = |m: &Machine| m.shell("cat /proc/self/uid_map");
            assert_ne!(map(&a), map(&b));
        });
    }
}

#[test]
fn private_folders_are_empty_and_writable_and_of_one_instance() {
    each(|world| {
        let (a, b) = (world.boot("a"), world.boot("b"));
        for folder in ["/tmp", "/run", "/var/tmp", "/root"] {
            a.shell(&format!("echo mine >{folder}/mine"));
            assert_ne!(b.run(&["cat", &format!("{folder}/mine")]).exit, Exit::Status(0), "{folder}");
        }
        assert_eq!(a.shell("ls /home"), "");
        assert_eq!(a.shell("echo x >/dev/null; head -c 4 /dev/zero | wc -c"), "4");
    });
}

#[test]
fn a_new_start_finds_the_temporary_folders_empty_and_the_others_kept() {
    each(|world| {
        let machine = world.boot("a");
        machine.shell("touch /tmp/x /run/x /srv/x /etc/x");
        world.client.kill(&machine.id).unwrap();
        world.client.start(&machine.id, spec(argv(&["sh", "-c", "mkfifo /tmp/n; read x </tmp/n"]))).unwrap();
        assert_eq!(machine.shell("ls -d /tmp/x /run/x /srv/x /etc/x 2>/dev/null || :"), "/etc/x\n/srv/x");
    });
}

/// A root folder with the probe and what it needs.
fn image(root: &std::path::Path) {
    for folder in ["proc", "dev", "etc", "tmp", "root"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let program = env!("CARGO_BIN_EXE_agent-probe");
    let libraries = Command::new("ldd").arg(program).output().unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    let libraries = libraries.split_whitespace().filter(|w| w.starts_with('/')).map(|w| (w, &w[1..]));
    for (from, to) in libraries.chain([(program, "probe")]) {
        let to = root.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        assert!(Command::new("cp").arg("-L").arg(from).arg(to).status().unwrap().success());
    }
}

#[test]
fn a_folder_of_the_host_can_be_the_whole_file_system() {
    each(|world| {
        let root = world.dir.path().join("image");
        image(&root);
        let machine = world.open("a");
        let _at = machine.answer("you are a\n");
        let mut spec = spec(argv(&["/probe", "get-and-stay", METADATA]));
        spec.root = Some(root);
        world.client.start(&machine.id, spec).unwrap();
        assert_eq!(world.wait_for_console(&machine.id, "you are a\n"), "you are a\n");
        assert_eq!(machine.probe_at("/probe", &["get", METADATA]), "you are a");
        let null = fs::File::open("/dev/null").unwrap();
        let ends = [null.as_fd(), null.as_fd(), null.as_fd()];
        assert!(world.client.exec(&machine.id, &["/bin/sh"], &[], ends).is_err());
    });
}

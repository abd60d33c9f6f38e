//! Starting, stopping, running programs, first boots.

use crate::world::{argv, each, spec};
use avouch_agent::protocol::{Call, Event, Exit, Program, Request, State, VERSION};
use avouch_agent::{Code, Error, user_data};
use std::fs::File;
use std::os::fd::AsFd;

#[test]
fn the_end_of_the_program_is_told_with_its_status() {
    each(|world| {
        for (id, line, exit) in [
            ("a", "exit 7", Exit::Status(7)),
            ("b", "kill -9 $$", Exit::Signal(9)),
            ("c", "true", Exit::Status(0)),
        ] {
            let machine = world.open(id);
            assert_eq!(machine.report.state, State::Open);
            world.client.start(&machine.id, spec(argv(&["sh", "-c", line]))).unwrap();
            assert_eq!(world.client.event().unwrap(), Event::Exited { instance: machine.id.clone(), exit });
            let (report, listeners) = world.client.sockets(&machine.id).unwrap();
            assert_eq!(report.state, State::Stopped(exit));
            assert!(listeners.metadata.is_some());
        }
    });
}

#[test]
fn a_program_that_is_not_there_is_refused() {
    each(|world| {
        let machine = world.open("a");
        let error = world.client.start(&machine.id, spec(argv(&["/no/such/program"]))).unwrap_err();
        let Error::Refused(refusal) = error else { panic!("{error}") };
        assert_eq!(refusal.code, Code::Program);
        assert!(!refusal.message.contains("such"), "{}", refusal.message);
        // It did no harm.
        world.client.start(&machine.id, spec(argv(&["true"]))).unwrap();
    });
}

#[test]
fn a_stop_asks_first_and_waits_for_the_answer() {
    each(|world| {
        let machine = world.open("a");
        // A shell that is never inside a call when the signal comes: between two commands it always sees it.
        let polite = "trap 'echo bye; exit 3' TERM; echo up; while :; do :; done";
        world.client.start(&machine.id, spec(argv(&["sh", "-c", polite]))).unwrap();
        world.wait_for_console(&machine.id, "up");
        let report = world.client.stop(&machine.id, 60_000).unwrap();
        assert_eq!(report.state, State::Stopped(Exit::Status(3)));
        assert!(world.wait_for_console(&machine.id, "bye").contains("up"));
    });
}

#[test]
fn a_stop_ends_what_does_not_listen_when_the_time_is_up() {
    each(|world| {
        let machine = world.open("a");
        let deaf = "trap '' TERM; echo up; mkfifo /tmp/never; read x </tmp/never";
        world.client.start(&machine.id, spec(argv(&["sh", "-c", deaf]))).unwrap();
        world.wait_for_console(&machine.id, "up");
        let report = world.client.stop(&machine.id, 1).unwrap();
        assert_eq!(report.state, State::Stopped(Exit::Signal(9)));
    });
}

#[test]
fn nothing_of_a_workload_outlives_it() {
    each(|world| {
        let machine = world.open("a");
        // A child in a session of its own.
        let line =
            "setsid sh -c 'echo child up; mkfifo /tmp/n; read x </tmp/n' & mkfifo /tmp/m; read x </tmp/m";
        world.client.start(&machine.id, spec(argv(&["sh", "-c", line]))).unwrap();
        world.wait_for_console(&machine.id, "child up");
        world.client.kill(&machine.id).unwrap();
        let null = File::open("/dev/null").unwrap();
        let ends = [null.as_fd(), null.as_fd(), null.as_fd()];
        let refused = world.client.exec(&machine.id, &["true"], &[], ends).unwrap_err();
        assert!(refused.to_string().contains("is not running"), "{refused}");
        world.client.start(&machine.id, spec(Program::Boot(Vec::new()))).unwrap();
        assert!(!machine.shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").contains("child up"));
    });
}

#[test]
fn a_program_run_in_an_instance_has_the_callers_input_and_output_and_tells_its_status() {
    each(|world| {
        let machine = world.boot("a");
        std::fs::write(world.dir.path().join("input"), "from outside").unwrap();
        let input = File::open(world.dir.path().join("input")).unwrap();
        let output = machine.run_with(&["sh", "-c", "cat; echo wrong >&2; exit 5"], input);
        assert_eq!(output.exit, Exit::Status(5));
        assert_eq!((output.out.as_str(), output.err.as_str()), ("from outside", "wrong\n"));
        assert_eq!(machine.run(&["sh", "-c", "kill -15 $$"]).exit, Exit::Signal(15));
    });
}

#[test]
fn a_program_run_in_an_instance_ends_with_the_instance() {
    each(|world| {
        let machine = world.boot("a");
        let (mut seen, end) = std::io::pipe().unwrap();
        let mut client = world.connect();
        let null = File::open("/dev/null").unwrap();
        let id = machine.id.clone();
        let thread = std::thread::spawn(move || {
            let line = "echo up; mkfifo /tmp/never; read x </tmp/never";
            let ends = [null.as_fd(), end.as_fd(), null.as_fd()];
            client.exec(&id, &["sh", "-c", line], &[], ends).unwrap()
        });
        let mut up = [0u8; 3];
        std::io::Read::read_exact(&mut seen, &mut up).unwrap();
        assert_eq!(&up, b"up\n");
        world.client.kill(&machine.id).unwrap();
        assert_eq!(thread.join().unwrap(), Exit::Signal(9));
    });
}

#[test]
fn a_program_run_in_an_instance_ends_with_the_callers_connection() {
    each(|world| {
        let machine = world.boot("a");
        let (mut seen, end) = std::io::pipe().unwrap();
        let null = File::open("/dev/null").unwrap();
        // By hand: the typed call would wait.
        let channel = crate::control::raw(&world.socket());
        channel.send(&Call { id: 1, request: Request::Hello { version: VERSION } }, &[]).unwrap();
        let argv =
            ["sh", "-c", "echo up; mkfifo /tmp/never; cat /tmp/never; true"].map(str::to_owned).to_vec();
        let request = Request::Exec { instance: machine.id.clone(), argv, env: Vec::new() };
        channel.send(&Call { id: 2, request }, &[null.as_fd(), end.as_fd(), null.as_fd()]).unwrap();
        drop(end);
        let mut up = [0u8; 3];
        std::io::Read::read_exact(&mut seen, &mut up).unwrap();
        drop(channel);
        // The end of the pipe comes when the last process that holds it has ended.
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut seen, &mut rest).unwrap();
        assert_eq!(rest, "");
        assert_eq!(machine.shell("echo alive"), "alive");
    });
}

#[test]
fn what_is_not_running_cannot_be_entered_before_its_first_start() {
    each(|world| {
        let machine = world.open("a");
        let null = File::open("/dev/null").unwrap();
        let ends = [null.as_fd(), null.as_fd(), null.as_fd()];
        let error = world.client.exec(&machine.id, &["true"], &[], ends).unwrap_err();
        assert!(matches!(error, Error::Refused(r) if r.code == Code::WrongState));
    });
}

#[test]
fn a_script_of_user_data_runs_at_the_first_start_only() {
    each(|world| {
        let machine = world.open("a");
        let steps = user_data::read("#!/bin/sh\necho once >>/srv/count\necho scripted\n").unwrap().steps;
        for times in 1..=2 {
            world.client.start(&machine.id, spec(Program::Boot(steps.clone()))).unwrap();
            let said = world.wait_until(&machine.id, |said| said.matches("boot: finished").count() == times);
            assert_eq!(said.matches("scripted").count(), 1);
            assert_eq!(machine.shell("cat /srv/count"), "once");
            let report = world.client.stop(&machine.id, 60_000).unwrap();
            assert!(matches!(report.state, State::Stopped(_)), "{times}: {report:?}");
        }
    });
}

#[test]
fn cloud_config_writes_files_runs_commands_and_names_the_machine() {
    each(|world| {
        let text = "#cloud-config\nhostname: web-1\nwrite_files:\n- path: /etc/app/app.conf\n  content: |\n    key: value\n  \
                    permissions: '0640'\nbootcmd:\n- echo early >/srv/order\nruncmd:\n- [sh, -c, 'echo late >>/srv/order']\n\
                    - exit 3\npackages: [nginx]\n";
        let plan = user_data::read(text).unwrap();
        assert_eq!(plan.notes.len(), 1);
        let machine = world.open("a");
        world.client.start(&machine.id, spec(Program::Boot(plan.steps))).unwrap();
        let said = world.wait_for_console(&machine.id, "boot: finished");
        assert!(said.contains("ended with status 3"), "{said}");
        assert_eq!(machine.shell("cat /etc/app/app.conf; stat -c %a /etc/app/app.conf"), "key: value\n640");
        assert_eq!(machine.shell("cat /srv/order"), "early\nlate");
        assert_eq!(machine.shell("hostname; cat /etc/hostname"), "web-1\nweb-1");
    });
}

#[test]
fn an_instance_knows_the_published_names() {
    each(|world| {
        let machine = world.boot("a");
        let hosts = machine.shell("cat /etc/hosts");
        for line in [
            "169.254.169.254 api.metadata.cloud.ibm.com",
            "169.254.169.253 iam.cloud.ibm.com",
            "169.254.169.253 eu-de.iaas.cloud.ibm.com",
        ] {
            assert!(hosts.lines().any(|l| l == line), "{line}: {hosts}");
        }
        assert_eq!(machine.shell("cat /etc/resolv.conf"), "");
        assert_eq!(machine.shell("hostname"), "machine");
    });
}

#[test]
fn the_console_keeps_the_end_and_does_not_grow_for_ever() {
    each(|world| {
        let machine = world.open("a");
        let line = "head -c 5000000 /dev/zero | tr '\\0' x; echo the end";
        world.client.start(&machine.id, spec(argv(&["sh", "-c", line]))).unwrap();
        assert!(matches!(world.client.event().unwrap(), Event::Exited { .. }));
        let said = std::fs::read_to_string(world.console(&machine.id)).unwrap();
        assert!(said.ends_with("the end\n"));
        assert!(said.len() <= 1024 * 1024, "{}", said.len());
        assert!(said.len() > 100_000);
    });
}

//! The helper and the server may be killed; the instances go on.

use crate::world::{METADATA, argv, each, spec};
use avouch_agent::protocol::{Event, Exit, State};
use avouch_agent::{Code, Error};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

#[test]
fn a_killed_helper_finds_its_instances_again() {
    each(|world| {
        let mut machine = world.boot("a");
        let stopped = world.open("b");
        world.client.start(&stopped.id, spec(argv(&["sh", "-c", "exit 4"]))).unwrap();
        assert!(matches!(world.client.event().unwrap(), Event::Exited { .. }));
        machine.shell("echo kept >/srv/mark");
        let before = machine.report.init;

        world.kill_and_start_again();
        assert_eq!(world.client.list().unwrap(), [machine.id.clone(), stopped.id.clone()]);
        (machine.report, machine.listeners) = world.client.sockets(&machine.id).unwrap();
        assert_eq!((machine.report.init, machine.report.state), (before, State::Running));
        let _at = machine.answer("still a");
        assert_eq!(machine.probe(&["get", METADATA]), "still a");
        assert_eq!(machine.shell("cat /srv/mark"), "kept");
        let (report, _) = world.client.sockets(&stopped.id).unwrap();
        assert_eq!(report.state, State::Stopped(Exit::Status(4)));
        // It obeys the new helper in everything.
        let (report, _listeners) = world.client.reopen(&machine.id, None).unwrap();
        assert_eq!(report.metadata, None);
        world.client.close(&machine.id).unwrap();
        assert_eq!(world.client.list().unwrap(), [stopped.id]);
    });
}

#[test]
fn the_end_of_a_program_is_not_lost_while_no_helper_runs() {
    each(|world| {
        let machine = world.open("a");
        let line = "mkfifo /tmp/f; echo up; read x </tmp/f; exit $x";
        world.client.start(&machine.id, spec(argv(&["sh", "-c", line]))).unwrap();
        world.wait_for_console(&machine.id, "up");
        world.kill_and_start_again();
        // How this ends is open: the end of the workload is the end of everything in the instance.
        machine.run(&["sh", "-c", "echo 9 >/tmp/f"]);
        assert_eq!(
            world.client.event().unwrap(),
            Event::Exited { instance: machine.id.clone(), exit: Exit::Status(9) }
        );
    });
}

#[test]
fn a_server_that_is_gone_takes_nothing_with_it() {
    each(|world| {
        let mut machine = world.boot("a");
        world.client = world.connect();
        drop(machine.listeners.metadata.take());
        (machine.report, machine.listeners) = world.client.sockets(&machine.id).unwrap();
        let _at = machine.answer("still a");
        assert_eq!(machine.probe(&["get", METADATA]), "still a");
    });
}

#[test]
fn an_instance_whose_first_process_is_killed_has_failed_and_may_be_opened_again() {
    each(|world| {
        let machine = world.boot("a");
        kill_process(Pid::from_raw(machine.report.init).unwrap(), Signal::KILL).unwrap();
        assert!(
            matches!(world.client.event().unwrap(), Event::Lost { instance, .. } if instance == machine.id)
        );
        let (report, listeners) = world.client.sockets(&machine.id).unwrap();
        assert_eq!(report.state, State::Failed);
        assert!(listeners.metadata.is_none());
        let again = world.boot("a");
        assert_ne!(again.report.init, machine.report.init);
        let _at = again.answer("a again");
        assert_eq!(again.probe(&["get", METADATA]), "a again");
    });
}

#[test]
fn an_instance_that_no_helper_can_reach_any_more_is_ended_and_its_ids_stay_taken() {
    each(|world| {
        let machine = world.boot("a");
        // Its first process can open nothing any more, so nobody gets through to it.
        machine.shell("prlimit --pid 1 --nofile=6:6");
        let init = machine.report.init.to_string();
        world.kill_and_start_again();
        assert!(world.client.list().unwrap().contains(&machine.id));
        let (report, listeners) = world.client.sockets(&machine.id).unwrap();
        assert_eq!(report.state, State::Failed);
        assert!(listeners.metadata.is_none());
        // Whose child it is now may not have taken it in yet.
        let stat = std::fs::read_to_string(format!("/proc/{init}/stat")).unwrap_or_else(|_| ") Z".to_owned());
        assert!(stat.contains(") Z") || stat.contains(") X"), "{stat}");
        world.client.close(&machine.id).unwrap();
        assert_eq!(world.client.list().unwrap(), []);
    });
}

#[test]
fn the_id_of_a_closed_instance_is_never_used_again() {
    each(|world| {
        let machine = world.boot("a");
        let first = pidfd_open(Pid::from_raw(machine.report.init).unwrap(), PidfdFlags::empty()).unwrap();
        world.client.close(&machine.id).unwrap();
        // Answered when it is over: the descriptor of the ended process reads at once.
        assert!(avouch_agent::packet::readable(&first, std::time::Duration::ZERO).unwrap());
        for _ in 0..2 {
            let open = avouch_agent::protocol::Open {
                instance: machine.id.clone(),
                metadata: None,
                service_hosts: Vec::new(),
                hide: Vec::new(),
            };
            let error = world.client.open(open).unwrap_err();
            assert!(matches!(error, Error::Refused(r) if r.code == Code::Conflict));
            world.kill_and_start_again();
        }
    });
}

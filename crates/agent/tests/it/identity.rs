//! The socket is the identity: what arrives on it was born in that instance, and nothing else is reachable.

use crate::world::{HTTP, Kind, METADATA, SERVICES, World, answer, each, only};
use avouch_agent::protocol::{Metadata, Protocol, Service};
use std::io::ErrorKind;
use std::net::TcpListener;

#[test]
fn who_connects_for_metadata_is_the_instance_whose_socket_it_is() {
    each(|world| {
        let (a, b) = (world.boot("a"), world.boot("b"));
        let (at_a, at_b) = (a.answer("you are a"), b.answer("you are b"));
        assert_eq!(a.probe(&["get", METADATA]), "you are a");
        assert_eq!(b.probe(&["get", METADATA]), "you are b");
        assert_eq!((at_a.count(), at_b.count()), (1, 1));
    });
}

#[test]
fn the_services_have_sockets_of_their_own_in_each_instance() {
    each(|world| {
        let machine = world.boot("a");
        let ports: Vec<u16> = machine.listeners.services.iter().map(|(port, _)| *port).collect();
        assert_eq!(ports, [80, 443]);
        let _at = answer(&machine.listeners.services[0].1, "services");
        let _other = machine.answer("metadata");
        assert_eq!(machine.probe(&["get", SERVICES]), "services");
        let services = machine.report.sockets.iter().filter(|s| s.service == Service::Services);
        assert_eq!(services.count(), 2);
    });
}

#[test]
fn an_instance_reaches_neither_the_host_nor_anybody_else() {
    each(|world| {
        let machine = world.boot("a");
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        host.set_nonblocking(true).unwrap();
        let address = host.local_addr().unwrap().to_string();
        for to in
            [address.as_str(), "169.254.169.254:8080", "169.254.0.1:80", "169.254.170.2:80", "192.0.2.1:80"]
        {
            let said = machine.probe(&["get", to]);
            assert!(said.starts_with("refused: "), "{to}: {said}");
        }
        // Not for want of a route: other link-local addresses are shut, with whatever egress there will be.
        for to in ["169.254.0.1:80", "169.254.170.2:80", "[fd00:ec2::254]:80", "[fe80::1]:80"] {
            let said = machine.probe(&["get", to]);
            let ipv6 = to.starts_with('[') && !std::path::Path::new("/proc/sys/net/ipv6").exists();
            assert!(ipv6 || said.contains("Invalid argument"), "{to}: {said}");
        }
        assert_eq!(host.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn the_machine_that_the_helper_runs_on_sees_no_packet_for_its_own_metadata_address() {
    for kind in [Kind::Companion, Kind::Own] {
        only(kind, |_| {
            let mut world = World::new(kind, true);
            // The decoy does answer those who reach it.
            assert_eq!(world.decoy("connect"), 1);
            let on = world.boot("on");
            let off = world.boot_with("off", None);
            let answering = on.answer("the instance's own");
            assert_eq!(on.probe(&["get", METADATA]), "the instance's own");
            for to in [METADATA, "169.254.169.254:443"] {
                let said = off.probe(&["get", to]);
                assert!(said.starts_with("refused: "), "{to}: {said}");
            }
            assert!(on.probe(&["get", "169.254.169.254:443"]).starts_with("refused: "));
            assert_eq!((world.decoy("count"), answering.count()), (1, 1));
        });
    }
}

#[test]
fn nobody_inside_can_listen_where_the_metadata_service_does() {
    each(|world| {
        let machine = world.boot("a");
        if world.kind == Kind::Companion {
            // The address is not there to be taken; giving it to oneself takes nothing from the companion.
            assert!(machine.probe(&["listen", METADATA]).starts_with("refused: "));
            return;
        }
        for at in [METADATA, "0.0.0.0:80", SERVICES, "169.254.169.253:443"] {
            let said = machine.probe(&["listen", at]);
            assert!(said.contains("in use"), "{at}: {said}");
        }
        assert!(machine.probe(&["listen", "0.0.0.0:8080"]).starts_with("listening"));
    });
}

#[test]
fn an_instance_that_takes_its_own_address_away_fools_only_itself() {
    each(|world| {
        let (a, b) = (world.boot("a"), world.boot("b"));
        let (_at_a, at_b) = (a.answer("you are a"), b.answer("you are b"));
        let link = if world.kind == Kind::Companion { "veth0" } else { "lo" };
        let own = if world.kind == Kind::Companion { "169.254.1.2" } else { "169.254.169.254" };
        assert_eq!(a.probe(&["drop-address", link, own]), "dropped");
        // It finds nobody, or itself; never another.
        assert_ne!(a.probe(&["get", METADATA]), "you are b");
        assert_eq!(at_b.count(), 0);
        assert_eq!(b.probe(&["get", METADATA]), "you are b");
    });
}

#[test]
fn a_container_inside_the_instance_is_reached_only_when_the_hop_limit_allows() {
    only(Kind::Companion, |world| {
        let far = world.boot_with("far", Some(Metadata { protocol: Protocol::Http, hop_limit: 2 }));
        let _at = far.answer("you are far");
        assert_eq!(far.probe(&["nested"]), "you are far");
        let near = world.boot_with("near", HTTP);
        let _at = near.answer("you are near");
        assert!(near.probe(&["nested"]).starts_with("refused: "));
        assert_eq!(near.probe(&["get", METADATA]), "you are near");
    });
}

#[test]
fn the_hop_limit_can_be_changed_while_the_instance_runs() {
    only(Kind::Companion, |world| {
        let mut machine = world.boot("a");
        let metadata = Some(Metadata { protocol: Protocol::Http, hop_limit: 2 });
        (machine.report, machine.listeners) = world.client.reopen(&machine.id, metadata).unwrap();
        assert_eq!(machine.report.metadata, metadata);
        let _at = machine.answer("still a");
        assert_eq!(machine.probe(&["nested"]), "still a");
    });
}

#[test]
fn another_protocol_closes_one_port_and_opens_the_other() {
    each(|world| {
        let mut machine = world.boot("a");
        let old = machine.listeners.metadata.take().unwrap();
        let https = Some(Metadata { protocol: Protocol::Https, hop_limit: 1 });
        (machine.report, machine.listeners) = world.client.reopen(&machine.id, https).unwrap();
        {
            let _at = machine.answer("by 443");
            assert_eq!(machine.probe(&["get", "169.254.169.254:443"]), "by 443");
            // Even who still holds the old socket hears nobody on it.
            assert!(machine.probe(&["get", METADATA]).starts_with("refused: "));
        }
        assert!(old.accept().is_err());

        (machine.report, machine.listeners) = world.client.reopen(&machine.id, None).unwrap();
        assert!(machine.listeners.metadata.is_none());
        assert!(machine.probe(&["get", "169.254.169.254:443"]).starts_with("refused: "));

        (machine.report, machine.listeners) = world.client.reopen(&machine.id, HTTP).unwrap();
        let _at = machine.answer("by 80");
        assert_eq!(machine.probe(&["get", METADATA]), "by 80");
    });
}

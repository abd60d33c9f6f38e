//! `is`: VPC infrastructure by lines.

use crate::text;
use crate::world::World;

#[test]
fn a_network_is_built_shown_and_taken_down_by_name() {
    let world = World::start();
    let admin = world.owner();
    let vpc = admin.json("is vpc-create shop");
    assert_eq!(text(&admin.json("is vpc shop"), "/id"), text(&vpc, "/id"));
    assert_eq!(text(&vpc, "/resource_group/name"), "Default");
    let zones = admin.run("is zones").ok().out;
    assert!(zones.contains("us-south-1") && zones.contains("us-south-3"), "{zones}");
    admin.run("is subnet-create front shop us-south-1 --ipv4-address-count 16").ok();
    admin.run("is subnet-create back shop --ipv4-cidr-block 10.240.64.0/24").ok();
    let listed = admin.run("is subnets --vpc shop --zone us-south-2").ok().out;
    assert!(listed.contains("10.240.64.0/24") && !listed.contains("front"), "{listed}");

    world.file("key.pub", KEY);
    let key = admin.json("is key-create laptop @key.pub");
    assert_eq!((text(&key, "/type"), text(&key, "/name")), ("ed25519", "laptop"));
    let again = admin.run("is key-create laptop-2 @key.pub");
    assert_eq!(again.code, 1, "{}", again.out);

    admin.run("is security-group-create web shop").ok();
    admin.run("is security-group-rule-add web inbound tcp --port-min 443 --port-max 443").ok();
    admin.run("is security-group-rule-add web inbound icmp --icmp-type 8 --remote 10.240.0.0/18").ok();
    admin.run("is security-group-rule-add web outbound all --remote web").ok();
    let rules = admin.run("is security-group-rules web").ok().out;
    assert!(rules.contains("443") && rules.contains("10.240.0.0/18") && rules.contains("web"), "{rules}");

    let vni = admin.json(
        "is virtual-network-interface-create --name eth --subnet back --rip-address 10.240.64.9 --sgs web",
    );
    assert_eq!(text(&vni, "/primary_ip/address"), "10.240.64.9");
    assert!(admin.run("is security-group-targets web").ok().out.contains("eth"));
    let floating = admin.json("is floating-ip-reserve door --vni eth");
    assert_eq!(text(&floating, "/target/name"), "eth");
    assert_eq!(text(&floating, "/zone/name"), "us-south-2");
    let freed = admin.json("is floating-ip-update door --vni=");
    assert!(freed.get("target").is_none(), "{freed}");

    let used = admin.run("is subnet-delete back -f");
    assert!(used.code == 1 && used.err.contains("in_use"), "{}", used.err);
    for line in [
        "is floating-ip-release door -f",
        "is virtual-network-interface-delete eth -f",
        "is security-group-delete web -f",
        "is subnet-delete front back -f",
        "is key-delete laptop -f",
        "is vpc-update shop --name store",
        "is vpc-delete store -f",
    ] {
        admin.run(line).ok();
    }
    for line in ["is vpcs", "is subnets", "is keys", "is floating-ips", "is virtual-network-interfaces"] {
        assert_eq!(admin.json(line), serde_json::json!([]), "{line}");
    }
    let gone = admin.run("is vpc store");
    assert!(gone.code == 1 && gone.err.contains("VPC 'store' was not found"), "{}", gone.err);
}

#[test]
fn catalogues_and_refusals_are_told() {
    let world = World::start();
    let admin = world.owner();
    let image = "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66";
    assert_eq!(text(&admin.json(&format!("is image {image}")), "/visibility"), "public");
    assert!(admin.run("is images --visibility public").ok().out.contains(image));
    assert_eq!(admin.json("is images --visibility private"), serde_json::json!([]));
    let profiles = admin.run("infrastructure-service instance-profiles").ok().out;
    assert!(profiles.lines().any(|line| line.starts_with("bx2-2x8 ")), "{profiles}");
    assert!(admin.run("is instance-profile bx2-2x8").ok().out.contains("Memory(GiB):"));
    admin.run("is target --gen 2").ok();
    assert!(admin.run("is regions").ok().out.contains("us-south"));
    for (line, code) in [
        ("is target --gen 1", 2),
        ("is subnet-create s none --ipv4-address-count 8", 1),
        ("is subnet-create s none", 2),
        ("is floating-ip-reserve f", 2),
        ("is floating-ip-reserve f --zone z --vni v", 2),
        ("is security-group-rule-add g inbound all --port-min 1 --port-max 2", 2),
        ("is vpc-delete", 2),
        ("is vpc ..", 1),
    ] {
        let refused = admin.run(line);
        assert!(refused.code == code && refused.out.is_empty(), "{line}: {}", refused.err);
    }
}

/// Of nobody.
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUm nobody@nowhere\n";

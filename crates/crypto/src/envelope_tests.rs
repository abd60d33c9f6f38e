#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::rng::SystemRandom;
use proptest::prelude::*;

fn rng() -> Arc<dyn Random> {
    Arc::new(SystemRandom)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn every_changed_byte_is_found() {
    let ring = KeyRing::ephemeral(rng());
    let sealed = ring.seal(b"place", b"CANARY payload");
    assert_eq!(sealed.len(), 14 + 97);
    assert!(!sealed.windows(6).any(|w| w == b"CANARY"));
    for i in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[i] ^= 1;
        assert!(ring.open(b"place", &changed).is_err(), "byte {i}");
    }
    for len in 0..sealed.len() {
        assert!(ring.open(b"place", &sealed[..len]).is_err(), "length {len}");
    }
    assert!(ring.open(b"place", &[sealed.as_slice(), b"x"].concat()).is_err());
}

#[test]
fn value_moved_to_another_place_does_not_open() {
    let ring = KeyRing::ephemeral(rng());
    let (a, b) = (ring.seal(b"a", b"1"), ring.seal(b"b", b"2"));
    assert!(matches!(ring.open(b"b", &a), Err(Error::Sealed)));
    // The data key of one value with the payload of another.
    let mixed = [&a[..69], &b[69..]].concat();
    assert!(matches!(ring.open(b"a", &mixed), Err(Error::Sealed)));
    assert!(matches!(ring.open(b"b", &mixed), Err(Error::Sealed)));
}

#[test]
fn same_value_never_seals_the_same() {
    let ring = KeyRing::ephemeral(rng());
    assert_ne!(ring.seal(b"a", b"1"), ring.seal(b"a", b"1"));
}

#[test]
fn value_of_another_ring_names_the_missing_key() {
    let (ring, other) = (KeyRing::ephemeral(rng()), KeyRing::ephemeral(rng()));
    let sealed = other.seal(b"a", b"1");
    assert!(matches!(ring.open(b"a", &sealed), Err(Error::UnknownKey(id)) if id == other.active_id()));
    assert_eq!(key_id_of(&sealed).unwrap(), other.active_id());
    assert!(!ring.contains(other.active_id()));
}

#[test]
fn added_key_becomes_active_and_old_values_still_open() {
    let ring = KeyRing::ephemeral(rng());
    let old = ring.seal(b"a", b"1");
    let id = ring.add_key().unwrap();
    assert_eq!((ring.active_id(), ring.key_ids().len()), (id, 2));
    assert_eq!(ring.open(b"a", &old).unwrap().expose(), b"1");
    let new = ring.rewrap(&old).unwrap();
    assert_eq!(key_id_of(&new).unwrap(), id);
    assert_eq!(ring.open(b"a", &new).unwrap().expose(), b"1");
    assert!(ring.open(b"b", &new).is_err());
}

#[test]
fn file_is_made_once_with_owner_rights_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    let ring = KeyRing::open_or_create(&path, rng()).unwrap();
    assert_eq!(mode(&path), 0o600);
    let sealed = ring.seal(b"a", b"1");
    let id = ring.add_key().unwrap();
    assert_eq!(mode(&path), 0o600);
    let again = KeyRing::open_or_create(&path, rng()).unwrap();
    assert_eq!(again.active_id(), id);
    assert_eq!(again.open(b"a", &sealed).unwrap().expose(), b"1");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no left-over files");
}

#[test]
fn file_that_others_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    drop(KeyRing::open_or_create(&path, rng()).unwrap());
    for bits in [0o640, 0o604, 0o620, 0o610, 0o601, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
        assert!(matches!(KeyRing::open_or_create(&path, rng()), Err(Error::Permissions)), "{bits:o}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(KeyRing::open_or_create(&path, rng()).is_ok());
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(KeyRing::open_or_create(&link, rng()), Err(Error::Permissions)));
    assert!(matches!(KeyRing::open_or_create(folder.path(), rng()), Err(Error::Permissions)));
}

#[test]
fn damaged_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    drop(KeyRing::open_or_create(&path, rng()).unwrap());
    let good = fs::read_to_string(&path).unwrap();
    let line = good.lines().nth(1).unwrap();
    for bad in [
        String::new(),
        "\n".to_owned(),
        format!("{FILE_HEADER}\n"),
        good.trim_end().to_owned(),
        good[..good.len() - 10].to_owned(),
        good.replace(" 1\n", " 2\n"),
        good.to_uppercase(),
        format!("{good}{line}\n"),
        format!("{good}\n"),
        "x".repeat(200_000),
    ] {
        fs::write(&path, &bad).unwrap();
        let error = KeyRing::open_or_create(&path, rng()).unwrap_err();
        assert!(matches!(error, Error::KeyFile), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(KeyRing::open_or_create(&path, rng()), Err(Error::KeyFile)));
}

#[test]
fn processes_that_start_at_once_share_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    let ids: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| KeyRing::open_or_create(&path, rng()).unwrap().active_id()))
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn debug_shows_names_of_keys_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    let ring = KeyRing::open_or_create(&path, rng()).unwrap();
    let file = fs::read_to_string(&path).unwrap();
    let key = file.lines().nth(1).unwrap().split(' ').nth(1).unwrap();
    assert_eq!(format!("{ring:?}"), format!("KeyRing([{}])", ring.active_id()));
    assert!(!format!("{ring:?}").contains(key));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_sealed_opens(aad in proptest::collection::vec(any::<u8>(), 0..40), plain in proptest::collection::vec(any::<u8>(), 0..300)) {
        let ring = KeyRing::ephemeral(rng());
        let sealed = ring.seal(&aad, &plain);
        let opened = ring.open(&aad, &sealed).unwrap();
        prop_assert_eq!(opened.expose(), &plain);
        let opened = ring.open(&aad, &ring.rewrap(&sealed).unwrap()).unwrap();
        prop_assert_eq!(opened.expose(), &plain);
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let ring = KeyRing::ephemeral(rng());
        prop_assert!(ring.open(b"", &bytes).is_err());
    }
}

use super::*;

#[test]
fn the_name_appears_only_when_the_file_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("deep/er/edge.raw");
    let output = PartialFile::create(&target).unwrap();
    output.set_size(1 << 20).unwrap();
    output.write_at(4096, b"content").unwrap();
    assert!(!target.exists());
    let stamp = output.finish(Digest::of(b"key")).unwrap();
    assert_eq!(fs::metadata(&target).unwrap().len(), 1 << 20);
    assert_eq!(stamp, Stamp::of(&target, Digest::of(b"key")).unwrap());
}

#[test]
fn an_abandoned_output_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("edge.raw");
    fs::write(&target, "old").unwrap();
    let output = PartialFile::create(&target).unwrap();
    output.write_at(0, b"new").unwrap();
    drop(output);
    assert_eq!(fs::read(&target).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("edge.raw");
    fs::write(folder.path().join(".edge.raw.partial-x1"), "half").unwrap();
    fs::write(folder.path().join(".other.raw.partial-x1"), "half").unwrap();
    PartialFile::create(&target).unwrap().finish(Digest::of(b"key")).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".other.raw.partial-x1", "edge.raw"]);
}

#[test]
fn a_full_disk_is_named_so() {
    let full = OutputError::new(Path::new("edge.raw"), io::Error::from_raw_os_error(28));
    assert_eq!(full.to_string(), "no space left while writing edge.raw");
}

#[test]
fn a_touched_output_is_not_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("edge.raw");
    let stamp = PartialFile::create(&target).unwrap().finish(Digest::of(b"key")).unwrap();
    fs::write(&target, "changed").unwrap();
    assert_ne!(stamp, Stamp::of(&target, Digest::of(b"key")).unwrap());
}

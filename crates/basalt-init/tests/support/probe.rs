//! The init of the test root: says what it finds, then powers off. Compiled by the test with `rustc`, standard library
//! only, static.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    thread,
    time::Duration,
};

fn main() {
    println!("PROBE begin");
    show("uptime", "/proc/uptime");
    show("record", "/run/basalt/boot.json");
    show("machine-id", "/etc/machine-id");
    show("mounts", "/proc/self/mountinfo");
    println!("PROBE write-root: {:?}", fs::write("/marker", "x").map_err(|error| error.kind()));
    println!("PROBE write-etc: {:?}", fs::write("/etc/marker", "x"));
    println!("PROBE old-root: {}", Path::new("/lib/modules/index").exists());
    let mut bytes = 0;
    match read_all(Path::new("/data"), &mut bytes) {
        Ok(()) => println!("PROBE read: {bytes} bytes"),
        Err(error) => println!("PROBE read: failed: {error}"),
    }
    println!("PROBE end");
    fs::write("/proc/sysrq-trigger", "o").expect("power off");
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

fn show(what: &str, path: &str) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| format!("({error})"));
    for line in text.lines() {
        println!("PROBE {what}: {line}");
    }
}

fn read_all(directory: &Path, bytes: &mut u64) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let mut file = fs::File::open(entry?.path())?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => *bytes += count as u64,
            }
        }
    }
    Ok(())
}

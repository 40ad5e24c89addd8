use std::time::{Duration, Instant};

use super::{Command, CommandError, Exit, Program};

fn shell(script: &str) -> Command {
    Command::new(&Program::find("sh", "dash").unwrap()).args(["-c", script])
}

#[test]
fn gives_the_output_and_takes_the_input() {
    assert_eq!(shell("cat; echo done").input("a\n").run().unwrap(), b"a\ndone\n");
}

#[test]
fn the_environment_holds_only_what_is_planned() {
    let seen = shell("env | cut -d= -f1 | sort").env("MINE", "1").run().unwrap();
    assert_eq!(String::from_utf8(seen).unwrap(), "LANG\nMINE\nPATH\nPWD\nTZ\n");
}

#[test]
fn a_failure_names_program_arguments_and_last_words() {
    let error = shell("echo first >&2; echo 'last words' >&2; exit 3").run().unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, CommandError::Failed { exit: Exit::Code(3), .. }), "{text}");
    assert!(text.contains("sh -c ") && text.ends_with("exit status 3: first\nlast words"), "{text}");
}

#[test]
fn only_the_end_of_a_long_error_stream_is_kept() {
    let finished = shell("seq 100000 >&2").finish().unwrap();
    assert!(finished.stderr_tail.ends_with("99999\n100000\n"));
    assert!(finished.stderr_tail.len() <= 8 << 10);
}

#[test]
fn a_program_out_of_time_is_killed_with_its_children() {
    let began = Instant::now();
    let error =
        shell("sleep 1000 & echo waiting >&2; wait").timeout(Duration::from_millis(200)).run().unwrap_err();
    assert!(matches!(error, CommandError::TimedOut { .. }), "{error}");
    assert!(error.to_string().ends_with(": waiting"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_child_left_behind_does_not_keep_us_waiting() {
    let began = Instant::now();
    assert_eq!(shell("sleep 1000 & echo out").run().unwrap(), b"out\n");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_input_nobody_reads_is_no_error() {
    shell("exit 0").input(vec![0; 1 << 20]).run().unwrap();
}

#[test]
fn a_missing_program_names_the_package() {
    let error = Program::find("basalt-no-such-program", "nothing-like-it").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the program `basalt-no-such-program` is not installed; on Debian: apt-get install nothing-like-it"
    );
}

#[test]
fn dropping_a_running_program_ends_it() {
    let running = shell("sleep 1000").start().unwrap();
    let path = format!("/proc/{}", running.id());
    assert!(std::path::Path::new(&path).exists());
    drop(running);
    assert!(!std::path::Path::new(&path).exists());
}

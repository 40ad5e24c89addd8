//! Asking the gates: systemd, a web server, a port, a program. Each try has a time limit.

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use basalt_exec::command::{Command, CommandError, Exit, Program};
use basalt_fetch::http::{self, AskBody, Client, HttpError, Method, Patience, Proxies};
use basalt_node::health::{Answer, Ask, Gate, GateReport, SystemState};
use basalt_spec::node::Probe;

/// The unit that asks: its own job is none that it waits for.
const ASSESSING: &str = "basalt-assess.service";

/// The longest page that is read: only its status counts.
const PAGE: u64 = 16 << 20;

/// Asks every gate once.
pub(crate) fn gates(gates: &[Gate]) -> Vec<GateReport> {
    gates
        .iter()
        .map(|gate| GateReport { name: gate.name.clone(), asks: gate.ask.to_string(), answer: ask(gate) })
        .collect()
}

fn ask(gate: &Gate) -> Answer {
    let Gate { name: _, ask, timeout } = gate;
    let said = match ask {
        Ask::System { may_fail } => match system(*timeout) {
            Ok(state) => return state.answer(may_fail),
            Err(error) => Err(error.to_string()),
        },
        Ask::Probe(Probe::Unit(unit)) => unit_is_active(unit.as_str(), *timeout),
        Ask::Probe(Probe::Http(url)) => answers(url.as_str(), *timeout),
        Ask::Probe(Probe::Tcp(port)) => takes_connection(port.as_str(), *timeout),
        Ask::Probe(Probe::Command(words)) => succeeds(words, *timeout),
        Ask::Probe(Probe::NodeReady) => Err("this release has no Kubernetes that could say so".to_owned()),
    };
    said.map_or_else(Answer::NotYet, |()| Answer::Good)
}

/// What systemd says of itself.
fn system(timeout: Duration) -> Result<SystemState, CommandError> {
    let state = systemctl(&["show", "--property=SystemState", "--value"], timeout)?;
    // While the one that asks is starting, systemd says `initializing` of a machine in emergency mode too.
    let special = ["show", "--property=ActiveState", "--value", "emergency.target", "rescue.target"];
    let maintenance = systemctl(&special, timeout)?.lines().any(|line| line.trim() == "active");
    let state = if maintenance { "maintenance" } else { state.trim() };
    let failed = systemctl(&["list-units", "--failed", "--plain", "--no-legend"], timeout)?;
    let jobs = systemctl(&["list-jobs", "--no-legend"], timeout)?;
    Ok(SystemState { state: state.to_owned(), failed: first_words(&failed), starting: running_jobs(&jobs) })
}

fn first_words(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Lines of number, unit, type and state; a job that waits is somebody's who waits for another.
fn running_jobs(text: &str) -> Vec<String> {
    let unit = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (unit, state) = (words.next()?, words.nth(1)?);
        (state == "running" && unit != ASSESSING).then(|| unit.to_owned())
    };
    text.lines().filter_map(unit).collect()
}

fn systemctl(arguments: &[&str], timeout: Duration) -> Result<String, CommandError> {
    let program = Program::find("systemctl", "systemd")?;
    let output = Command::new(&program).args(arguments).timeout(timeout).run()?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

fn unit_is_active(unit: &str, timeout: Duration) -> Result<(), String> {
    let state = systemctl(&["show", "--property=ActiveState", "--value", "--", unit], timeout);
    match state.map_err(|error| error.to_string())?.trim() {
        "active" => Ok(()),
        other => Err(format!("{unit} is {other}")),
    }
}

fn answers(url: &str, timeout: Duration) -> Result<(), String> {
    let status = status_of(url, timeout).map_err(|error| error.to_string())?;
    if (200..300).contains(&status) { Ok(()) } else { Err(format!("{url} answers with {status}")) }
}

/// Asked once and without a proxy: what is asked is this machine's, or near it.
fn status_of(url: &str, timeout: Duration) -> Result<u16, HttpError> {
    let patience = Patience { connect: timeout, silence: timeout, retries: 0, pause: Duration::ZERO };
    let client = Client::new(Proxies::default(), patience, Arc::new(AtomicBool::new(false)))?;
    let ask = http::Ask { method: Method::Get, url, headers: &[], body: AskBody::Bytes(&[]), limit: PAGE };
    client.exchange(&ask).map(|answer| answer.status)
}

fn takes_connection(port: &str, timeout: Duration) -> Result<(), String> {
    let addresses = port.to_socket_addrs().map_err(|error| format!("{port} has no address: {error}"))?;
    let mut last = format!("{port} has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(_connection) => return Ok(()),
            Err(error) => last = format!("{address} takes no connection: {error}"),
        }
    }
    Err(last)
}

fn succeeds(words: &[String], timeout: Duration) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("no program is named".to_owned());
    };
    let found =
        if program.contains('/') { Program::at(program) } else { Program::find(program, "of the image") };
    let found = found.map_err(|error| error.to_string())?;
    let finished = Command::new(&found).args(arguments).timeout(timeout).finish();
    let finished = finished.map_err(|error| error.to_string())?;
    match finished.exit {
        Exit::Code(0) => Ok(()),
        exit @ (Exit::Code(_) | Exit::Signal(_)) => {
            let said = finished.stderr_tail.lines().last().unwrap_or_default().to_owned();
            let colon = if said.is_empty() { "" } else { ": " };
            Err(format!("{program} {exit}{colon}{said}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::TcpListener};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn jobs_that_run_are_waited_for_and_jobs_that_wait_are_not() {
        let text = " 105 a.service             start running\n 210 basalt-assess.service start running\n\
                    211 boot-complete.target  start waiting\n 1 dev-x.device start running\n";
        assert_eq!(running_jobs(text), ["a.service", "dev-x.device"]);
        assert_eq!(running_jobs(""), Vec::<String>::new());
        assert_eq!(first_words("x.service loaded failed failed X\n\n"), ["x.service"]);
    }

    #[test]
    fn a_program_is_good_when_it_ends_with_0() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        assert_eq!(succeeds(&words("true"), SECOND * 10), Ok(()));
        assert_eq!(
            succeeds(&words("/bin/false"), SECOND * 10),
            Err("/bin/false ended with exit status 1".to_owned())
        );
        let script = ["sh".to_owned(), "-c".to_owned(), "echo no luck >&2; exit 3".to_owned()];
        assert_eq!(succeeds(&script, SECOND * 10), Err("sh ended with exit status 3: no luck".to_owned()));
        assert!(succeeds(&words("/no/such"), SECOND).unwrap_err().contains("/no/such"));
        assert!(succeeds(&words("sleep 60"), Duration::from_millis(50)).unwrap_err().contains("sleep"));
    }

    #[test]
    fn a_port_and_a_page_are_good_when_they_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(takes_connection(&address, SECOND), Ok(()));
        let server = std::thread::spawn(move || {
            for (status, _) in ["204 No Content", "404 Not Found"].iter().zip(1..) {
                // The connection that only knocked comes first, and says nothing.
                let mut stream = loop {
                    let (mut stream, _) = listener.accept().unwrap();
                    if std::io::Read::read(&mut stream, &mut [0; 1024]).unwrap() > 0 {
                        break stream;
                    }
                };
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .unwrap();
            }
        });
        let url = format!("http://{address}/health");
        assert_eq!(answers(&url, SECOND), Ok(()));
        assert_eq!(answers(&url, SECOND), Err(format!("{url} answers with 404")));
        server.join().unwrap();
        let refused = takes_connection(&address, SECOND).unwrap_err();
        assert!(refused.starts_with(&format!("{address} takes no connection: ")), "{refused}");
    }
}

//! Metrics in Prometheus' text format, version 0.0.4, over HTTP/1.1.

use std::{
    fmt::Write as _,
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write},
    net::{TcpListener, TcpStream},
    sync::PoisonError,
    thread,
    time::Duration,
};

use super::{Counters, Shared};

/// Who asks and says nothing is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// A request for metrics has some hundred bytes.
const MOST_BYTES: u64 = 16 << 10;
const STACK: usize = 128 << 10;

/// Answers on a TCP address, one after another: a scraper comes every minute.
pub(super) fn serve(listener: TcpListener, counters: Shared) {
    let answer = move |stream: TcpStream| -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new((&stream).take(MOST_BYTES));
        let mut request = String::new();
        lines.read_line(&mut request)?;
        let mut rest = String::new();
        while lines.read_line(&mut rest)? > 2 {
            rest.clear();
        }
        respond(&request, &counters, &mut &stream)
    };
    let spawned = thread::Builder::new().name("metrics".into()).stack_size(STACK).spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever went away before the answer has none.
            match answer(stream) {
                Ok(()) | Err(_) => {}
            }
        }
    });
    if let Err(error) = spawned {
        crate::report::failure(&crate::error::AgentError::new(crate::error::Kind::Host, error));
    }
}

/// Answers one request, whose first line is given.
pub(super) fn respond(request: &str, counters: &Shared, output: &mut impl Write) -> io::Result<()> {
    let known = request.starts_with("GET /metrics ") || request.starts_with("GET / ");
    let (status, body) = if known {
        let counters = counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ("200 OK", text(&counters))
    } else {
        ("404 Not Found", "only /metrics is here\n".to_owned())
    };
    let length = body.len();
    write!(
        output,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn text(counters: &Counters) -> String {
    let Counters { runs, failed_runs, steps, last } = counters;
    let rows = [
        ("basalt_reconcile_runs_total", "counter", "Reconciliations since the daemon started.", *runs),
        ("basalt_reconcile_failed_runs_total", "counter", "Those that left something undone.", *failed_runs),
        ("basalt_reconcile_steps_total", "counter", "Steps that were done.", *steps),
        (
            "basalt_reconcile_last_steps",
            "gauge",
            "Steps of the last one: the drift it found.",
            last.done.len() as u64,
        ),
        ("basalt_reconcile_last_timestamp_seconds", "gauge", "When the last one ended.", last.at),
        ("process_resident_memory_bytes", "gauge", "Resident memory.", resident()),
    ];
    let mut text = String::new();
    let mut line = |arguments: std::fmt::Arguments<'_>| match writeln!(text, "{arguments}") {
        // Writing to a text can't fail.
        Ok(()) | Err(std::fmt::Error) => {}
    };
    for (name, kind, help, value) in rows {
        line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"));
    }
    line(format_args!("# HELP basalt_condition Whether a condition is true.\n# TYPE basalt_condition gauge"));
    for condition in &last.conditions {
        let (kind, value) = (&condition.kind, u8::from(condition.status));
        line(format_args!("basalt_condition{{type=\"{kind}\"}} {value}"));
    }
    line(format_args!("# HELP basalt_agent_info The agent.\n# TYPE basalt_agent_info gauge"));
    line(format_args!("basalt_agent_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")));
    text
}

/// Bytes of this program in memory (proc(5), `status`, `VmRSS`).
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use basalt_node::reconcile::{Condition, Report};

    #[test]
    fn metrics_are_in_prometheus_form() {
        let condition =
            Condition { kind: "Applied".into(), status: true, reason: String::new(), message: String::new() };
        let last = Report { at: 7, conditions: vec![condition], done: vec!["a".into()], ..Report::default() };
        let counters = Shared::new(Counters { runs: 3, failed_runs: 1, steps: 9, last }.into());
        let mut output = Vec::new();
        respond("GET /metrics HTTP/1.1\r\n", &counters, &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        for line in [
            "HTTP/1.1 200 OK",
            "basalt_reconcile_runs_total 3",
            "basalt_reconcile_last_steps 1",
            "basalt_condition{type=\"Applied\"} 1",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
        }
        let mut output = Vec::new();
        respond("POST / HTTP/1.1\r\n", &counters, &mut output).unwrap();
        assert!(output.starts_with(b"HTTP/1.1 404"));
    }
}

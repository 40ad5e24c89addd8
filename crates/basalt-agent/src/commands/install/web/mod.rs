//! The installer as a page for the local network: the same questions as the screens', the same planner and executor. HTML
//! without scripts, and one browser at a time: whoever types the code that the console shows.
//!
//! `Site` is pure: requests change it, pages are drawn from it. Here are the connections and the two threads that work: one
//! answers, the other plans and installs, so that a page is there in the middle of a write too.
//!
//! What this does not do: keep what is typed from whoever listens on the network. It is plain HTTP; the code keeps others from
//! using the page, and a document with secrets belongs on the medium.

mod door;
mod http;
mod pages;
mod site;

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, BufReader, Read, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use basalt_node::install::{InstallPlan, InstallStep};

use super::{
    execute::{Lines, Watch},
    installer::{Ended, Installer, Machine, Questions},
};
use crate::{
    error::{AgentResult, Kind, OrFail as _},
    execute::install::Progress,
    report,
};
use door::Door;
use http::{Request, Response, Status};
use site::{Act, Site, Work};

/// How long a browser may take for its request, and for taking its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many connections are open at a time; browsers open some that they never use.
const CONNECTIONS: usize = 64;

/// What happens.
enum Event {
    Asked { request: Request, stream: TcpStream },
    Planned(AgentResult<InstallPlan>),
    Begins(String),
    Progress(Progress),
    Ended(AgentResult<()>),
}

/// Serves the page until something is installed and somebody said what then.
pub(super) fn run(
    installer: &mut (dyn Installer + Send),
    questions: Questions,
    address: SocketAddr,
) -> AgentResult<Ended> {
    let machine = Machine::of(installer)?;
    let mut seed = [0; 32];
    File::open("/dev/random").and_then(|mut random| random.read_exact(&mut seed)).or_fail(Kind::Host)?;
    let listener = TcpListener::bind(address).or_fail(Kind::Host)?;
    let pages = pages_of(listener.local_addr().or_fail(Kind::Host)?);
    report::print(format!("the installer is a page for the local network:\n{pages}").as_bytes())?;
    let mut site = Site::new(Door::new(seed), machine, questions);
    show_code(&site)?;
    serve(listener, &mut site, installer)
}

/// The code is for whoever sees the console: it is printed, and never logged.
fn show_code(site: &Site) -> AgentResult<()> {
    report::print(format!("code: {}\n", site.door.code()).as_bytes())
}

/// What to type into a browser, a line each.
fn pages_of(address: SocketAddr) -> String {
    let port = address.port();
    if !address.ip().is_unspecified() {
        return format!("  http://{address}/\n");
    }
    // No packet is sent: the kernel says from which address it would be (addresses for documentation, RFC 5737 and 3849).
    let routes = [
        (SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), IpAddr::from(Ipv4Addr::new(192, 0, 2, 1))),
        (
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        ),
    ];
    let own = |(from, to): (SocketAddr, IpAddr)| -> io::Result<SocketAddr> {
        let socket = UdpSocket::bind(from)?;
        socket.connect((to, 9))?;
        socket.local_addr()
    };
    // Without a route there is none of that sort.
    let found = routes.into_iter().filter_map(|route| own(route).ok());
    let pages: String = found.map(|own| format!("  http://{}/\n", SocketAddr::new(own.ip(), port))).collect();
    if pages.is_empty() { format!("  http://ADDRESS:{port}/  (`ip address` says which)\n") } else { pages }
}

fn serve(
    listener: TcpListener,
    site: &mut Site,
    installer: &mut (dyn Installer + Send),
) -> AgentResult<Ended> {
    let (events, next) = mpsc::channel();
    let accepted = events.clone();
    thread::Builder::new().spawn(move || accept(&listener, &accepted)).or_fail(Kind::Host)?;
    thread::scope(|scope| {
        let (works, todo) = mpsc::channel();
        scope.spawn(move || work(installer, &todo, &events));
        attend(site, &next, &works)
    })
}

/// Answers, until somebody said what comes after an installation.
fn attend(site: &mut Site, next: &Receiver<Event>, works: &Sender<Work>) -> AgentResult<Ended> {
    loop {
        match next.recv().or_fail(Kind::Host)? {
            Event::Asked { request, mut stream } => {
                let (response, act) = site.answer(&request, Instant::now());
                // What a browser does not get it asks for again.
                drop(stream.write_all(&response.to_bytes()));
                match act {
                    Act::Nothing => {}
                    Act::NextCode => {
                        report::print(b"a browser has entered; the next one needs another code\n")?;
                        show_code(site)?;
                    }
                    Act::Work(work) => works.send(work).or_fail(Kind::Host)?,
                    Act::Leave(after) => return Ok(Ended::Installed(Some(after))),
                }
            }
            Event::Planned(plan) => site.planned(plan),
            Event::Begins(step) => site.begins(step),
            Event::Progress(progress) => site.progress(progress),
            Event::Ended(result) => site.ended(result),
        }
    }
}

/// Plans and installs, one after another.
fn work(installer: &mut dyn Installer, todo: &Receiver<Work>, events: &Sender<Event>) {
    for work in todo {
        let event = match work {
            Work::Plan { device, document } => Event::Planned(installer.plan(&device, document)),
            Work::Install(plan) => {
                let mut told = Told { events: events.clone(), console: Lines::default() };
                Event::Ended(installer.install(&plan, &mut told))
            }
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// Progress on the page, and as lines on the console.
struct Told {
    events: Sender<Event>,
    console: Lines,
}

impl Told {
    fn tell(&self, event: Event) {
        // Nobody's absence is a reason to stop in the middle.
        drop(self.events.send(event));
    }
}

impl Watch for Told {
    fn begins(&mut self, number: usize, of: usize, step: &InstallStep) {
        self.console.begins(number, of, step);
        let text = step.to_string();
        let text = text.lines().next().unwrap_or_default().trim_end_matches(':');
        self.tell(Event::Begins(format!("Step {number} of {of}: {text}")));
    }

    fn progress(&mut self, progress: Progress) {
        self.console.progress(progress);
        self.tell(Event::Progress(progress));
    }

    fn result(&mut self) -> AgentResult<()> {
        self.console.result()
    }
}

/// Takes connections until the page has ended, each with a thread that reads one request.
fn accept(listener: &TcpListener, events: &Sender<Event>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        // A browser that went away before we looked.
        let Ok(stream) = stream else { continue };
        if open.load(Ordering::SeqCst) >= CONNECTIONS {
            continue;
        }
        let (events, own) = (events.clone(), Arc::clone(&open));
        open.fetch_add(1, Ordering::SeqCst);
        let reader = thread::Builder::new().spawn(move || {
            // A browser that is silent, or goes away, is not the machine's trouble.
            drop(receive(stream, &events));
            own.fetch_sub(1, Ordering::SeqCst);
        });
        if reader.is_err() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Reads one request and hands it on; answers what is none.
fn receive(mut stream: TcpStream, events: &Sender<Event>) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let limited = Limited { stream: &stream, deadline: Instant::now() + PATIENCE };
    match Request::read(&mut BufReader::new(limited))? {
        Some(request) => {
            // When nobody takes it, the page has ended.
            drop(events.send(Event::Asked { request, stream }));
            Ok(())
        }
        None => stream.write_all(&Response::page(Status::BadRequest, String::new()).to_bytes()),
    }
}

/// A connection that must have said everything in time.
struct Limited<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

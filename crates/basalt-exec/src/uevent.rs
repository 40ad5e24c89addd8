//! The kernel's announcements of devices: netlink(7), `NETLINK_KOBJECT_UEVENT`.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SocketFlags, SocketType, bind,
        netlink::{self, SocketAddrNetlink},
        recvfrom, socket_with, sockopt,
    },
};

/// The kernel's own multicast group; group 2 is udev's.
const KERNEL_GROUP: u32 = 1;

/// What the queue may hold, in bytes. A cold start of a server announces a few thousand devices of about 300 bytes.
const QUEUE: usize = 8 << 20;

/// The longest announcement (`UEVENT_BUFFER_SIZE` is 2,048 in Linux), with room to notice a longer one.
const MESSAGE: usize = 8 << 10;

/// A socket that hears the kernel's announcements from the moment it is opened.
#[derive(Debug)]
pub struct UeventSocket {
    socket: OwnedFd,
}

/// One announcement: the device's properties as `KEY=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uevent {
    properties: Vec<(String, String)>,
}

/// What came out of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A device was announced.
    Device(Uevent),
    /// The queue was full and announcements are lost: look at everything again.
    Overrun,
    /// Nothing, for as long as was asked.
    Silence,
}

impl Uevent {
    /// Reads an announcement: `ACTION@DEVPATH`, then properties, each closed by a NUL byte.
    ///
    /// What is no `KEY=value` is left out; udev's own messages begin otherwise and give nothing.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let mut parts = message.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        parts.next().filter(|header| header.contains('@'))?;
        let pair = |part: std::borrow::Cow<'_, str>| {
            part.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
        };
        Some(Self { properties: parts.filter_map(pair).collect() })
    }

    /// The value of a property such as `SUBSYSTEM` or `MODALIAS`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.properties.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl UeventSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// When the kernel has no such socket or no memory for its queue.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::KOBJECT_UEVENT);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
        sockopt::set_socket_recv_buffer_size_force(&socket, QUEUE)?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Self { socket })
    }

    /// Waits for the next announcement, at most this long.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn wait(&self, patience: Duration) -> io::Result<Heard> {
        let mut buffer = vec![0; MESSAGE];
        loop {
            match recvfrom(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, length, sender)) => {
                    let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
                    // Port 0 is the kernel: another process could send to this socket too.
                    let kernel = sender.is_some_and(|sender| sender.pid() == 0);
                    if let Some(event) = Uevent::parse(&buffer[..length.min(MESSAGE)]).filter(|_| kernel) {
                        return Ok(Heard::Device(event));
                    }
                }
                Err(Errno::NOBUFS) => return Ok(Heard::Overrun),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if self.readable(patience)? => {}
                Err(Errno::AGAIN) => return Ok(Heard::Silence),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn readable(&self, patience: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_gives_its_properties() {
        let message =
            b"add@/devices/pci0000:00/block/vda\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=vda\0odd\0DEVTYPE=disk\0";
        let event = Uevent::parse(message).unwrap();
        assert_eq!(event.get("SUBSYSTEM"), Some("block"));
        assert_eq!(event.get("DEVTYPE"), Some("disk"));
        assert_eq!(event.get("odd"), None);
    }

    #[test]
    fn a_message_of_udev_is_none_of_the_kernels() {
        assert_eq!(Uevent::parse(b"libudev\0\xfe\xed\xca\xfe"), None);
        assert_eq!(Uevent::parse(b""), None);
    }

    #[test]
    fn silence_is_an_answer() {
        let socket = UeventSocket::open().unwrap();
        assert_eq!(socket.wait(Duration::ZERO).unwrap(), Heard::Silence);
    }
}

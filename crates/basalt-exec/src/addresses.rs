//! The addresses of this machine's interfaces: rtnetlink(7), `RTM_GETADDR`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::SocketAddrNetlink, recvfrom, sendto, socket_with,
    },
};

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface's number.
    pub interface: u32,
    /// The address.
    pub address: IpAddr,
    /// How many bits of it name its network.
    pub prefix: u8,
    /// Whether others can use it, and not only those on its own link or this machine.
    pub is_global: bool,
}

/// `NLM_F_REQUEST | NLM_F_DUMP` (Linux `include/uapi/linux/netlink.h`).
const DUMP: u16 = 0x1 | 0x300;
/// `NETLINK_ROUTE` is number 0, which is what a socket without a protocol gets.
const ROUTE: Option<Protocol> = None;
/// Message types of `netlink.h` and `rtnetlink.h`.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
/// Attributes of an address (`if_addr.h`): that of the link's other end, and the own one where the two differ.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// `RT_SCOPE_UNIVERSE`, and `RT_SCOPE_SITE`: narrower ones are of a link or of the machine.
const WIDEST_SCOPES: [u8; 2] = [0, 200];
/// `struct nlmsghdr`, `struct ifaddrmsg`, `struct rtattr`.
const HEADER: usize = 16;
const MESSAGE: usize = 8;
const ATTRIBUTE: usize = 4;
/// The kernel fills at most this much at a time.
const BUFFER: usize = 64 << 10;
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// All of them.
///
/// # Errors
/// When the kernel does not answer.
pub fn addresses() -> io::Result<Vec<Address>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, ROUTE)?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    sendto(&socket, &request(), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let (mut found, mut buffer) = (Vec::new(), vec![0; BUFFER]);
    loop {
        let timeout = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
        if poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&timeout))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let length = match recvfrom(&socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((_, length, _)) => length,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(error) => return Err(error.into()),
        };
        if parse(&buffer[..length.min(BUFFER)], &mut found)? == Answer::Ends {
            return Ok(found);
        }
    }
}

/// Hears from the kernel that addresses or links have changed.
#[derive(Debug)]
pub struct News {
    socket: OwnedFd,
}

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR` (`rtnetlink.h`).
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

impl News {
    /// Hears from now on.
    ///
    /// # Errors
    /// When the kernel gives no such socket.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, ROUTE)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self { socket })
    }

    /// Waits for a change, however long that takes; several at once count as one.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn wait(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut heard = false;
        loop {
            match recvfrom(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                // What was lost is news too.
                Ok(_) | Err(Errno::NOBUFS) => heard = true,
                Err(Errno::AGAIN) if heard => return Ok(()),
                Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                },
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn request() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + MESSAGE);
    bytes.extend(((HEADER + MESSAGE) as u32).to_ne_bytes());
    bytes.extend(RTM_GETADDR.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    bytes.extend([0; 8 + MESSAGE]);
    bytes
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    GoesOn,
    Ends,
}

fn parse(mut bytes: &[u8], found: &mut Vec<Address>) -> io::Result<Answer> {
    while bytes.len() >= HEADER {
        let length = number(&bytes[..4]) as usize;
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        let Some(message) = bytes.get(HEADER..length) else { return Err(io::ErrorKind::InvalidData.into()) };
        match kind {
            NLMSG_DONE => return Ok(Answer::Ends),
            NLMSG_ERROR => {
                let code = message.get(..4).map_or(0, |code| number(code).cast_signed());
                return Err(io::Error::from_raw_os_error(-code));
            }
            RTM_NEWADDR => found.extend(address(message)),
            _other_news => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Answer::GoesOn)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.try_into().map_or(0, u32::from_ne_bytes)
}

fn address(message: &[u8]) -> Option<Address> {
    let (head, mut attributes) = message.split_at_checked(MESSAGE)?;
    let (mut own, mut other) = (None, None);
    while attributes.len() >= ATTRIBUTE {
        let length = usize::from(u16::from_ne_bytes([attributes[0], attributes[1]]));
        let value = attributes.get(ATTRIBUTE..length)?;
        match u16::from_ne_bytes([attributes[2], attributes[3]]) {
            IFA_LOCAL => own = ip(value),
            IFA_ADDRESS => other = ip(value),
            _of_something_else => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(Address {
        interface: number(&head[4..8]),
        address: own.or(other)?,
        prefix: head[1],
        is_global: WIDEST_SCOPES.contains(&head[3]),
    })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(value).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    let six = <[u8; 16]>::try_from(value).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
    four.or(six).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_itself() {
        let found = addresses().unwrap();
        let own = found.iter().find(|one| one.address == IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        assert_eq!((own.prefix, own.is_global), (8, false));
    }

    #[test]
    fn what_is_cut_off_is_no_address() {
        let mut found = Vec::new();
        assert_eq!(parse(&[], &mut found).unwrap(), Answer::GoesOn);
        for length in 0..40 {
            let mut bytes = vec![0; length];
            if length >= HEADER {
                bytes[..4].copy_from_slice(&40u32.to_ne_bytes());
                bytes[4..6].copy_from_slice(&RTM_NEWADDR.to_ne_bytes());
                assert!(parse(&bytes, &mut found).is_err(), "{length}");
            }
        }
        assert!(address(&[2, 24, 0, 0, 1, 0, 0, 0, 200, 0, 1, 0]).is_none(), "an attribute beyond the end");
        assert!(found.is_empty());
    }
}

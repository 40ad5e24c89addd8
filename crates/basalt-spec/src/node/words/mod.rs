//! The words of a node's configuration, by the rules of [`crate::words`].

mod network;
mod secret;
mod system;
mod time;

#[cfg(test)]
mod tests;

pub use network::{
    CidrAddress, DnsServer, DomainName, HostPort, HttpUrl, InterfaceName, InterfacePattern, IpAddress,
    MacAddress, NtpServer, RouteTarget,
};
pub use secret::Secret;
pub use system::{
    Base64, DevicePath, EnvironmentName, FileSystemType, ItemName, KeySource, ModuleName, MountOption,
    MountSource, Pattern, SysctlName, SysctlValue,
};
pub use time::{Span, Track, Window};

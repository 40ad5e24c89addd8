//! The services of the firmware that this program needs.

use core::{ffi::c_void, ptr};

use uefi_raw::{
    Guid, Handle, Status,
    protocol::{
        device_path::DevicePathProtocol,
        file_system::{FileAttribute, FileMode, FileProtocolV1, SimpleFileSystemProtocol},
        loaded_image::LoadedImageProtocol,
    },
    table::{boot::BootServices, runtime::ResetType, system::SystemTable},
};

use crate::path::{HEADER, Node, Path, node};

/// Characters that are told at once.
const LINE: usize = 128;
/// The digits of a status.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The firmware as this program sees it. Its services live as long as the program: nobody calls `ExitBootServices` and comes
/// back.
pub(crate) struct Firmware<'a> {
    own: Handle,
    table: &'a SystemTable,
    services: &'a BootServices,
}

/// A program that was loaded.
pub(crate) struct Loaded(Handle);

impl Firmware<'_> {
    /// None when there are no boot services.
    ///
    /// # Safety
    /// `own` is a handle of this program, and `table` null or the firmware's.
    pub(crate) unsafe fn new(own: Handle, table: *const SystemTable) -> Option<Self> {
        // SAFETY: both pointers are null or lead to the firmware's tables, which stay where they are.
        unsafe {
            let table = table.as_ref()?;
            let services = table.boot_services.cast_const().as_ref()?;
            Some(Self { own, table, services })
        }
    }

    /// Loads a file from the partition that this program came from, to be started without options.
    pub(crate) fn load(&self, file: &str) -> Result<Loaded, Status> {
        let path = self.path_of(self.image()?.device_handle, file)?;
        let mut loaded: Handle = ptr::null_mut();
        // SAFETY: the path has an end, and lives until the call is over; the firmware reads the file itself.
        let status = unsafe {
            (self.services.load_image)(
                false.into(),
                self.own,
                path.as_ptr().cast(),
                ptr::null(),
                0,
                &raw mut loaded,
            )
        };
        succeeded(status).map(|()| Loaded(loaded))
    }

    /// As [`Self::load`], to be started with the options that this program was started with.
    pub(crate) fn load_as_self(&self, file: &str) -> Result<Loaded, Status> {
        let (own, loaded) = (self.image()?, self.load(file)?);
        let image: *mut LoadedImageProtocol = self.protocol(loaded.0, &LoadedImageProtocol::GUID)?;
        // SAFETY: it is the loaded program's, which does not run yet. Our own options outlive it.
        unsafe {
            (*image).load_options = own.load_options;
            (*image).load_options_size = own.load_options_size;
        }
        Ok(loaded)
    }

    /// What the firmware says of this program.
    fn image(&self) -> Result<&LoadedImageProtocol, Status> {
        let own: *mut LoadedImageProtocol = self.protocol(self.own, &LoadedImageProtocol::GUID)?;
        // SAFETY: the firmware made it for this program (UEFI 2.10, section 9.1), and changes it no more.
        Ok(unsafe { &*own })
    }

    /// Reads the first byte of a file on the partition that this program came from, and puts the one there that `decide` says,
    /// in its place: the file keeps its size. Gives what was decided, whether or not the byte could be written.
    pub(crate) fn exchange<T>(&self, file: &str, decide: fn(u8) -> (T, Option<u8>)) -> Result<T, Status> {
        let mut name = [0_u16; LINE];
        file.encode_utf16().zip(name.iter_mut().take(LINE - 1)).for_each(|(unit, place)| *place = unit);
        let volume: *mut SimpleFileSystemProtocol =
            self.protocol(self.image()?.device_handle, &SimpleFileSystemProtocol::GUID)?;
        let (mut root, mut opened): (*mut FileProtocolV1, *mut FileProtocolV1) =
            (ptr::null_mut(), ptr::null_mut());
        let (mut byte, mut one) = (0_u8, 1_usize);
        // SAFETY: every handle is used between the call that gave it and the one that closes it; the name ends with a zero; the
        // buffers have the one byte that is asked for (UEFI 2.10, section 13.5).
        unsafe {
            succeeded(((*volume).open_volume)(volume, &raw mut root))?;
            let mode = FileMode::READ | FileMode::WRITE;
            let found =
                ((*root).open)(root, &raw mut opened, name.as_ptr().cast(), mode, FileAttribute::default());
            let _closed = ((*root).close)(root);
            succeeded(found)?;
            let read = ((*opened).read)(opened, &raw mut one, (&raw mut byte).cast());
            // An empty file gives no byte.
            let decided = match succeeded(read) {
                Ok(()) if one == 1 => Ok(decide(byte)),
                Ok(()) => Err(Status::END_OF_FILE),
                Err(status) => Err(status),
            };
            if let Ok((_, Some(next))) = decided
                && succeeded(((*opened).set_position)(opened, 0)).is_ok()
            {
                let _written = ((*opened).write)(opened, &raw mut one, (&raw const next).cast());
                let _flushed = ((*opened).flush)(opened);
            }
            let _closed = ((*opened).close)(opened);
            decided.map(|(decided, _)| decided)
        }
    }

    /// Runs a program until it comes back; gives what it came back with.
    pub(crate) fn start(&self, Loaded(program): Loaded) -> Status {
        // SAFETY: the handle is of a program that was loaded and not started; what it leaves as data nobody reads.
        unsafe { (self.services.start_image)(program, ptr::null_mut(), ptr::null_mut()) }
    }

    /// Writes a line that ends with a status to the console.
    pub(crate) fn say(&self, words: &[&str], status: Status) {
        let mut line = [0_u16; LINE];
        let mut room = line.iter_mut().take(LINE - 1);
        let digits = (0..16).rev().map(|digit| DIGITS[(status.0 >> (4 * digit)) & 15]);
        let words = words.iter().flat_map(|word| word.encode_utf16());
        let text = words.chain(digits.map(u16::from)).chain(r_n());
        text.zip(&mut room).for_each(|(unit, place)| *place = unit);
        let console = self.table.stdout;
        // SAFETY: a console that is there is the firmware's, and the line ends with a zero. What it can't show is lost.
        unsafe {
            if let Some(output) = console.as_ref().map(|console| console.output_string) {
                let _lost = output(console, line.as_ptr().cast());
            }
        }
    }

    /// Waits.
    pub(crate) fn wait(&self, seconds: usize) {
        // SAFETY: it takes a number of microseconds. Without a timer nobody waits.
        let _not_waited = unsafe { (self.services.stall)(seconds * 1_000_000) };
    }

    /// Restarts the machine.
    pub(crate) fn restart(&self, status: Status) -> ! {
        // SAFETY: runtime services are there as long as the system table is; a reset without data has no length.
        unsafe { ((*self.table.runtime_services).reset_system)(ResetType::COLD, status, 0, ptr::null()) }
    }

    /// The path of a file on a device.
    fn path_of(&self, device: Handle, file: &str) -> Result<Path, Status> {
        let mut at: *const u8 = self.protocol(device, &DevicePathProtocol::GUID)?;
        let mut path = Path::new();
        loop {
            // SAFETY: the firmware's path has nodes until the one that ends it, each with a header.
            let header = unsafe { at.cast::<[u8; HEADER]>().read_unaligned() };
            let length = match node(header) {
                Node::Inner(length) => length,
                Node::End => break,
                Node::Damaged => return Err(Status::INVALID_PARAMETER),
            };
            for _ in 0..length {
                // SAFETY: a node has as many bytes as its header says, and is followed by another.
                unsafe {
                    path.push(*at).ok_or(Status::BUFFER_TOO_SMALL)?;
                    at = at.add(1);
                }
            }
        }
        path.end_with(file).ok_or(Status::BUFFER_TOO_SMALL)?;
        Ok(path)
    }

    fn protocol<T>(&self, handle: Handle, guid: &Guid) -> Result<*mut T, Status> {
        let mut interface: *mut c_void = ptr::null_mut();
        // SAFETY: the firmware looks the handle up, and writes the pointer when it has the protocol.
        let status = unsafe { (self.services.handle_protocol)(handle, guid, &raw mut interface) };
        succeeded(status)?;
        if interface.is_null() { Err(Status::NOT_FOUND) } else { Ok(interface.cast()) }
    }
}

fn succeeded(status: Status) -> Result<(), Status> {
    if status.is_success() { Ok(()) } else { Err(status) }
}

fn r_n() -> [u16; 2] {
    [u16::from(b'\r'), u16::from(b'\n')]
}

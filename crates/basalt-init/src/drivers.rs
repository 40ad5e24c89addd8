//! Loads the kernel modules that the machine's devices ask for.
//!
//! Some drivers take their time: an AHCI controller waits a third of a second for disks that are not there, and the kernel
//! has loading any module wait for that. With the parameter `async_probe` (`do_init_module` in `kernel/module/main.c`)
//! loading does not wait, and nobody knows any more which of two disks comes first. So drivers whose disks have names in
//! their order load first and without it, then those of buses that take their time and all that the root needs with it;
//! the last module that the root needs waits for all.

use std::{
    collections::BTreeSet,
    ffi::CString,
    fs, io,
    path::{Path, PathBuf},
};

use basalt_exec::module::{Loaded, ModuleError, load_module};
use basalt_formats::modules::{AliasTable, INDEX_PATH, IndexError, ModuleIndex};

use crate::wanted::Wanted;

/// Where a bus of the kernel is not named as the aliases of its devices.
const BUS_OF_ALIAS: [(&str, &str); 2] = [("of", "platform"), ("acpi*", "acpi")];

/// What drivers of slow buses need. The kernel gives their disks names in any order itself.
const SLOW: [&str; 3] = ["scsi_mod", "usbcore", "mmc_core"];

/// The modules of the initramfs and what became of them.
#[derive(Debug)]
pub(crate) struct Drivers<'a> {
    index: &'a ModuleIndex,
    aliases: AliasTable<'a>,
    directory: PathBuf,
    wanted: &'a Wanted,
    /// Modules that were tried, whatever came of it.
    tried: BTreeSet<String>,
    /// Modules for devices that are there, which are only loaded when the root is not found without them.
    deferred: Vec<String>,
    late: bool,
    /// Whether loading a module may end before its driver has seen its devices.
    overlap: bool,
    /// How many the kernel took.
    pub(crate) loaded: usize,
    /// What it did not take, for a person.
    pub(crate) failures: Vec<String>,
}

/// Why there are no drivers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    #[error("can't read {INDEX_PATH}")]
    Read(#[source] io::Error),
    #[error("the initramfs is broken")]
    Index(#[from] IndexError),
    #[error("the initramfs has modules for kernel {packed}, and this is kernel {running}")]
    OtherKernel { packed: String, running: String },
    #[error("there is no verified root without the kernel module {name}")]
    Required { name: String, source: ModuleError },
    #[error("can't look at the devices in {path}")]
    Scan { path: PathBuf, source: io::Error },
}

/// Reads the index of the initramfs and compares it with the kernel that runs.
pub(crate) fn read_index() -> Result<ModuleIndex, DriverError> {
    let index: ModuleIndex = fs::read_to_string(INDEX_PATH).map_err(DriverError::Read)?.parse()?;
    let running = rustix::system::uname().release().to_string_lossy().into_owned();
    if index.kernel != running {
        return Err(DriverError::OtherKernel { packed: index.kernel, running });
    }
    Ok(index)
}

impl<'a> Drivers<'a> {
    pub(crate) fn new(index: &'a ModuleIndex, wanted: &'a Wanted) -> Self {
        Self {
            index,
            aliases: AliasTable::new(index),
            directory: Path::new("/lib/modules").join(&index.kernel),
            wanted,
            tried: BTreeSet::new(),
            deferred: Vec::new(),
            late: false,
            overlap: false,
            loaded: 0,
            failures: Vec::new(),
        }
    }

    /// Loads what the root needs whatever the machine is; when this is done, all drivers loaded before it have seen their
    /// devices.
    pub(crate) fn load_first(&mut self) -> Result<(), DriverError> {
        let index = self.index;
        let Some((last, others)) = index.first.split_last() else { return Ok(()) };
        for name in others {
            self.load_with_needs(name, true)?;
        }
        self.overlap = false;
        self.load_with_needs(last, true)
    }

    /// Loads one module by name, if the initramfs has it.
    pub(crate) fn load_optional(&mut self, name: &str) -> Result<(), DriverError> {
        self.load_with_needs(name, false)
    }

    /// Loads what the devices that are there ask for. Drivers of slow buses may see theirs only by the end of
    /// [`Self::load_first`], if that is still to come.
    pub(crate) fn coldplug(&mut self, sys: &Path) -> Result<(), DriverError> {
        let aliases = modaliases(sys, &self.buses())?;
        let wanted = aliases.iter().flat_map(|modalias| self.aliases.lookup(modalias));
        let (slow, quick): (Vec<String>, Vec<String>) = wanted.partition(|name| self.is_slow(name));
        for name in quick {
            self.driver(name)?;
        }
        self.overlap = self.index.first.last().is_some_and(|last| !self.tried.contains(last));
        for name in slow {
            self.driver(name)?;
        }
        Ok(())
    }

    fn is_slow(&self, name: &str) -> bool {
        let needs = self.index.module(name).map(|module| module.needs.as_slice()).unwrap_or_default();
        needs.iter().any(|need| SLOW.contains(&need.as_str()))
    }

    /// Loads what a device with this `modalias` asks for.
    pub(crate) fn device(&mut self, modalias: &str) -> Result<(), DriverError> {
        for name in self.aliases.lookup(modalias) {
            self.driver(name)?;
        }
        Ok(())
    }

    fn driver(&mut self, name: String) -> Result<(), DriverError> {
        let late = self.index.module(&name).is_some_and(|module| module.late);
        if self.wanted.blacklist.contains(&name) {
            return Ok(());
        }
        if late && !self.late {
            self.deferred.push(name);
            return Ok(());
        }
        self.load_with_needs(&name, false)
    }

    /// From now on late modules count, too; says whether that changes anything.
    pub(crate) fn allow_late(&mut self) -> Result<bool, DriverError> {
        let before = (self.late, self.loaded);
        self.late = true;
        for name in std::mem::take(&mut self.deferred) {
            self.load_with_needs(&name, false)?;
        }
        Ok(before != (true, self.loaded))
    }

    /// The directories below `/sys/bus` whose devices the index has drivers for.
    pub(crate) fn buses(&self) -> BTreeSet<&'a str> {
        let aliases = self.index.modules.iter().flat_map(|module| &module.aliases);
        let buses = aliases.filter_map(|alias| alias.split_once(':')).map(|(bus, _)| bus);
        buses
            .map(|bus| BUS_OF_ALIAS.iter().find(|(alias, _)| *alias == bus).map_or(bus, |(_, bus)| bus))
            .collect()
    }

    fn load_with_needs(&mut self, name: &str, required: bool) -> Result<(), DriverError> {
        let index = self.index;
        let Some(module) = index.module(name) else { return Ok(()) };
        for need in &module.needs {
            self.load(need, false)?;
        }
        self.load(name, required)?;
        for after in &module.after {
            self.load(after, false)?;
        }
        Ok(())
    }

    /// A module that fails is noted for the person who reads why there is no root, unless there can't be one without.
    fn load(&mut self, name: &str, required: bool) -> Result<(), DriverError> {
        let index = self.index;
        let Some(module) = index.module(name) else { return Ok(()) };
        if !self.tried.insert(name.to_owned()) {
            return Ok(());
        }
        match load_module(&self.directory.join(&module.path), &self.parameters(name)) {
            Ok(Loaded::Now) => self.loaded += 1,
            Ok(Loaded::Before | Loaded::NothingToDrive) => {}
            Err(error) if required => {
                return Err(DriverError::Required { name: name.to_owned(), source: error });
            }
            Err(error) => self.failures.push(crate::report::chain(&error)),
        }
        Ok(())
    }

    fn parameters(&self, name: &str) -> CString {
        let own = self.wanted.module_parameters.iter().filter(|(module, _)| module == name);
        let overlapping = self.overlap.then_some("async_probe");
        let words: Vec<&str> = overlapping.into_iter().chain(own.map(|(_, word)| word.as_str())).collect();
        // A command line has no NUL in it; were there one, the module would start without parameters.
        CString::new(words.join(" ")).unwrap_or_default()
    }
}

/// The `modalias` of every device on these buses, and of the processors.
pub(crate) fn modaliases(sys: &Path, buses: &BTreeSet<&str>) -> Result<Vec<String>, DriverError> {
    let mut found = Vec::new();
    // Processors share one.
    found.extend(fs::read_to_string(sys.join("devices/system/cpu/modalias")).ok());
    for bus in buses {
        let devices = sys.join("bus").join(bus).join("devices");
        let failed = |source| DriverError::Scan { path: devices.clone(), source };
        let entries = match fs::read_dir(&devices) {
            Ok(entries) => entries,
            // A bus without its driver is not there yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let device = entry.map_err(failed)?.path();
            // Not every device has one, and a device may be gone by now.
            found.extend(fs::read_to_string(device.join("modalias")).ok());
        }
    }
    Ok(found.iter().map(|modalias| modalias.trim_end().to_owned()).collect())
}

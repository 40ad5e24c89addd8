use std::collections::{BTreeMap, BTreeSet};

use basalt_formats::tree::{ReadContent, Tree};

use super::{
    InitramfsError, LeftOut, LeftOutReason, ModulePlan, PlannedModule,
    metadata::Metadata,
    wanted::{ModuleClass, WANTED},
};

/// Picks the modules of the kernel `kernel` that the initramfs of `image` holds.
///
/// # Errors
/// When depmod's files are missing or broken, or the kernel has no verified roots at all.
pub fn plan_modules(
    image: &Tree,
    content: &dyn ReadContent,
    kernel: &str,
) -> Result<ModulePlan, InitramfsError> {
    let metadata = Metadata::read(image, content, kernel)?;
    let mut selection = Selection::new(&metadata);
    let mut missing = Vec::new();
    for (class, names) in WANTED {
        for name in names {
            let found = selection.want(name, class);
            if class.is_required() && !found {
                missing.push((*name).to_owned());
            }
        }
    }
    if !missing.is_empty() {
        return Err(InitramfsError::Required { kernel: kernel.to_owned(), missing });
    }
    Ok(selection.into_plan(kernel))
}

/// The walk over the modules' dependencies.
struct Selection<'a> {
    metadata: &'a Metadata,
    /// Each module after all it needs.
    order: Vec<String>,
    class: BTreeMap<String, ModuleClass>,
    wanted: BTreeSet<String>,
    left_out: BTreeSet<LeftOut>,
}

impl<'a> Selection<'a> {
    fn new(metadata: &'a Metadata) -> Self {
        Self {
            metadata,
            order: Vec::new(),
            class: BTreeMap::new(),
            wanted: BTreeSet::new(),
            left_out: BTreeSet::new(),
        }
    }

    /// Takes a module of the table; says whether the kernel has it in one form or the other.
    fn want(&mut self, name: &str, class: ModuleClass) -> bool {
        if self.metadata.paths.contains_key(name) {
            self.wanted.insert(name.to_owned());
            self.pick(name, class);
            return true;
        }
        let built_in = self.metadata.built_in.contains(name);
        self.leave_out(name, None);
        built_in
    }

    fn pick(&mut self, name: &str, class: ModuleClass) {
        if self.class.contains_key(name) {
            return;
        }
        // Noted before what it needs, so that soft dependencies in a circle come to an end.
        self.class.insert(name.to_owned(), class);
        let needed = self.soft(&self.metadata.soft_before, name);
        let hard = self.metadata.hard.get(name).into_iter().flatten().rev().cloned();
        for need in needed.into_iter().chain(hard) {
            self.pick(&need, class);
        }
        self.order.push(name.to_owned());
        for module in self.soft(&self.metadata.soft_after, name) {
            self.pick(&module, class);
        }
    }

    /// The modules that a soft dependency of `name` stands for; what stands for none is left out with its reason.
    fn soft(&mut self, soft: &BTreeMap<String, Vec<String>>, name: &str) -> Vec<String> {
        let mut modules = Vec::new();
        for wanted in soft.get(name).into_iter().flatten() {
            let found = self.metadata.named(wanted);
            if found.is_empty() {
                self.leave_out(wanted, Some(name));
            }
            modules.extend(found);
        }
        modules
    }

    fn leave_out(&mut self, name: &str, for_module: Option<&str>) {
        let reason = match self.metadata.built_in.contains(name) {
            true => LeftOutReason::BuiltIn,
            false => LeftOutReason::NotInKernel,
        };
        let for_module = for_module.map(str::to_owned);
        self.left_out.insert(LeftOut { name: name.to_owned(), for_module, reason });
    }

    fn into_plan(self, kernel: &str) -> ModulePlan {
        let mut aliases: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (pattern, module) in &self.metadata.aliases {
            // A device's alias has its bus before a `:`; other aliases are names for modprobe.
            if self.class.contains_key(module) && pattern.contains(':') {
                aliases.entry(module).or_default().push(pattern.clone());
            }
        }
        let modules = self.order.iter().filter_map(|name| {
            Some(PlannedModule {
                name: name.clone(),
                path: self.metadata.paths.get(name)?.clone(),
                class: *self.class.get(name)?,
                wanted: self.wanted.contains(name),
                needs: self.load_order(name),
                after: self.after(name),
                aliases: aliases.remove(name.as_str()).unwrap_or_default(),
            })
        });
        let modules = modules.collect();
        ModulePlan { kernel: kernel.to_owned(), modules, left_out: self.left_out.into_iter().collect() }
    }

    /// All that must be loaded before `name`: the part of the whole order that it leads to.
    fn load_order(&self, name: &str) -> Vec<String> {
        let mut reached = BTreeSet::new();
        let mut pending = vec![name.to_owned()];
        while let Some(module) = pending.pop() {
            let hard = self.metadata.hard.get(&module).into_iter().flatten().cloned();
            let soft = self.metadata.soft_before.get(&module).into_iter().flatten();
            let soft = soft.flat_map(|wanted| self.metadata.named(wanted));
            pending.extend(hard.chain(soft).filter(|need| reached.insert(need.clone())));
        }
        reached.remove(name);
        self.order.iter().filter(|module| reached.contains(*module)).cloned().collect()
    }

    fn after(&self, name: &str) -> Vec<String> {
        let soft = self.metadata.soft_after.get(name).into_iter().flatten();
        soft.flat_map(|wanted| self.metadata.named(wanted)).collect()
    }
}

//! A login on the serial console, and commands whose output and exit status are told from everything else that a console
//! shows.

use basalt_vm::{Console, Running, VmError};
use std::time::Duration;

use crate::fixtures::{Login, patience};

/// A logged-in shell. Commands run one after another in one shell process, so `cd` and variables stay.
#[derive(Debug)]
pub struct Shell<'a> {
    console: &'a mut Console,
    count: u32,
    patience: Duration,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// Standard output and error as they came, without terminal control, without the final line break.
    pub text: String,
}

/// Why a shell could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// The console failed or stayed silent.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// The password was refused.
    #[error("the machine refuses the login of `{user}`; the console's last lines:\n{tail}")]
    Refused {
        /// Who.
        user: String,
        /// The last lines of the console.
        tail: String,
    },
    /// A command is too long for a terminal line.
    #[error("a command of {length} bytes is longer than the {LINE_LIMIT} that a terminal takes")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// What should be an exit status is not.
    #[error("`{command}` ended with `{status}` instead of an exit status")]
    Status {
        /// The command.
        command: String,
        /// What stood there.
        status: String,
    },
    /// A command that had to succeed did not.
    #[error("`{command}` ended with exit status {status}:\n{text}")]
    Failed {
        /// The command.
        command: String,
        /// Its exit status.
        status: i32,
        /// What it said.
        text: String,
    },
}

/// A terminal in canonical mode takes 4096 bytes a line (`N_TTY_BUF_SIZE` of the Linux kernel); ours adds the markers.
const LINE_LIMIT: usize = 3800;

impl<'a> Shell<'a> {
    /// Waits for the login prompt of `machine` for as long as a first boot may take here, and logs in.
    ///
    /// # Errors
    /// [`ShellError::Vm`] when no prompt appears, [`ShellError::Refused`] when the password is wrong.
    pub fn login(machine: &'a mut Running, login: &Login) -> Result<Self, ShellError> {
        let boot = patience(machine, Duration::from_secs(60));
        let answer = patience(machine, Duration::from_secs(10));
        let console = machine.console()?;
        console.expect("login: ", boot)?;
        console.send(&format!("{}\n", login.user))?;
        console.expect("assword: ", answer)?;
        console.send(&format!("{}\n", login.password))?;
        let (prompt, _) = console.expect_any(&["$ ", "# ", "ogin incorrect"], answer)?;
        if prompt == 2 {
            return Err(ShellError::Refused { user: login.user.clone(), tail: console.tail(20) });
        }
        let mut shell = Self { console, count: 0, patience: answer };
        shell.run("TERM=dumb; PS1=; PS2=; stty -echo cols 4000; true")?;
        Ok(shell)
    }

    /// The shell that a machine held when its memory was saved, after [`Running::load`].
    ///
    /// # Errors
    /// [`ShellError::Vm`] when the machine has no console.
    pub fn resume(machine: &'a mut Running) -> Result<Self, ShellError> {
        let patience = patience(machine, Duration::from_secs(10));
        Ok(Self { console: machine.console()?, count: 0, patience })
    }

    /// Becomes root through sudo; `login`'s user must be allowed to.
    ///
    /// # Errors
    /// [`ShellError::Refused`] when it is not, otherwise as [`Shell::run`].
    pub fn become_root(&mut self, login: &Login) -> Result<(), ShellError> {
        self.console.send(" exec sudo --stdin --prompt='@password:' bash --noprofile --norc\n")?;
        self.console.expect("@password:", self.patience)?;
        self.console.send(&format!("{}\n", login.password))?;
        // What is typed before the new shell asks is lost: it sets up the terminal first.
        self.console.expect_any(&["# ", "@password:"], self.patience)?;
        // The kernel's words would stand among those of commands; its log keeps them.
        self.run("PS1=; PS2=; dmesg --console-off")?;
        match self.run("id -u")?.text.trim() {
            "0" => Ok(()),
            _ => Err(ShellError::Refused { user: login.user.clone(), tail: self.console.tail(20) }),
        }
    }

    /// Runs one line of shell and gives its output and exit status.
    ///
    /// # Errors
    /// [`ShellError::Vm`] when it does not end in time, [`ShellError::TooLong`].
    pub fn run(&mut self, command: &str) -> Result<Output, ShellError> {
        self.run_within(command, self.patience)
    }

    /// As [`Shell::run`], for a command that takes long.
    ///
    /// # Errors
    /// As [`Shell::run`].
    pub fn run_within(&mut self, command: &str, within: Duration) -> Result<Output, ShellError> {
        if command.len() > LINE_LIMIT {
            return Err(ShellError::TooLong { length: command.len() });
        }
        self.count += 1;
        let number = self.count;
        // The echo of this line holds `%s` where the markers hold a number, so it is never taken for them.
        self.console.send(&format!(
            " printf '\\n@%s:\\n' B{number}; {{ {command}\n}} 2>&1; printf '\\n@%s:%s:\\n' E{number} $?\n"
        ))?;
        self.console.expect(&format!("\n@B{number}:\n"), within)?;
        let text = self.console.expect(&format!("\n@E{number}:"), within)?;
        let status = self.console.expect(":\n", self.patience)?;
        let status = status
            .trim()
            .parse()
            .map_err(|_not_a_number| ShellError::Status { command: command.to_owned(), status })?;
        Ok(Output { status, text: text.trim_end_matches('\n').to_owned() })
    }

    /// Runs a command that must succeed and gives what it said.
    ///
    /// # Errors
    /// [`ShellError::Failed`] with its words, otherwise as [`Shell::run`].
    pub fn check(&mut self, command: &str) -> Result<String, ShellError> {
        let Output { status, text } = self.run(command)?;
        if status == 0 {
            return Ok(text);
        }
        Err(ShellError::Failed { command: command.to_owned(), status, text })
    }

    /// Types without waiting: for commands that end the machine (`poweroff`).
    ///
    /// # Errors
    /// [`ShellError::Vm`] when the machine has ended.
    pub fn type_line(&mut self, line: &str) -> Result<(), ShellError> {
        Ok(self.console.send(&format!("{line}\n"))?)
    }
}

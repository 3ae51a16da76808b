//! Debian's packages, when we may install them; otherwise exactly what is missing.

use std::process::Command;

use crate::steps::Missing;

use super::{answer, finds, is_root, must, postgres, python};

struct Need {
    package: &'static str,
    /// For people without Debian.
    what: &'static str,
    is_there: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        package: "postgresql",
        what: "PostgreSQL's server programs (`brew install postgresql@17`)",
        is_there: || postgres::programs().is_some(),
    },
    Need {
        package: "python3-venv",
        what: "Python 3.10 or later with `venv` (`brew install python`)",
        is_there: || python::interpreter().is_some(),
    },
    Need { package: "nodejs", what: "Node.js (`brew install node`)", is_there: || finds("node") },
    Need { package: "npm", what: "npm (`brew install node`)", is_there: || finds("npm") },
    Need { package: "git", what: "git (`brew install git`)", is_there: || finds("git") },
];

/// Installs what is missing, as root or with password-less `sudo`.
pub(crate) fn install() -> Result<(), Missing> {
    let missing = || NEEDS.iter().filter(|need| !(need.is_there)()).collect::<Vec<_>>();
    let wanted = missing();
    if wanted.is_empty() {
        println!("   nothing is missing");
        return Ok(());
    }
    let packages: Vec<&str> = wanted.iter().map(|need| need.package).collect();
    if finds("apt-get") && (is_root() || may_sudo()) {
        println!("   installing {}", packages.join(" "));
        must(apt_get().args(["update", "-qq"]))?;
        must(apt_get().args(["install", "-y", "-qq", "--no-install-recommends"]).args(&packages))?;
    }
    let still = missing();
    if still.is_empty() {
        return Ok(());
    }
    let whats: Vec<&str> = still.iter().map(|need| need.what).collect();
    let names: Vec<&str> = still.iter().map(|need| need.package).collect();
    Err(Missing::Tool(format!(
        "missing: {}; on Debian run `sudo apt-get install {}`",
        whats.join(", "),
        names.join(" ")
    )))
}

fn may_sudo() -> bool {
    finds("sudo") && answer(Command::new("sudo").args(["-n", "true"])).is_some()
}

fn apt_get() -> Command {
    let mut command = Command::new(if is_root() { "env" } else { "sudo" });
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command
}

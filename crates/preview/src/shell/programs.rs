//! What programs do, as far as an approver must know. Each table is a list: a new program is a line.

use super::Word;
use crate::Level;

/// Programs that only read, whatever their arguments.
pub(crate) const READERS: &[&str] = &[
    "[",
    "[[",
    ":",
    "arch",
    "basename",
    "cal",
    "cat",
    "cd",
    "cksum",
    "cmp",
    "comm",
    "cut",
    "df",
    "diff",
    "dirname",
    "du",
    "echo",
    "expr",
    "false",
    "file",
    "fold",
    "free",
    "getconf",
    "grep",
    "egrep",
    "fgrep",
    "groups",
    "head",
    "hexdump",
    "hostname",
    "id",
    "jq",
    "ls",
    "lscpu",
    "md5sum",
    "nl",
    "nproc",
    "od",
    "paste",
    "pgrep",
    "popd",
    "printf",
    "ps",
    "pushd",
    "pwd",
    "read",
    "readlink",
    "realpath",
    "rev",
    "seq",
    "sha1sum",
    "sha256sum",
    "shasum",
    "sleep",
    "stat",
    "strings",
    "tac",
    "tail",
    "test",
    "tr",
    "tree",
    "true",
    "tty",
    "type",
    "uname",
    "uptime",
    "wait",
    "wc",
    "whereis",
    "which",
    "whoami",
    "xxd",
    "break",
    "continue",
    "exit",
    "return",
    "shift",
];

/// Programs that start another: (name, options that take a value, arguments before the program).
pub(crate) const WRAPPERS: &[(&str, &[&str], usize)] = &[
    ("builtin", &[], 0),
    ("busybox", &[], 0),
    ("caffeinate", &["-t", "-w"], 0),
    ("chroot", &[], 1),
    ("chrt", &["-T", "-P", "-D"], 1),
    ("command", &[], 0),
    ("doas", &["-u", "-C"], 0),
    ("env", &["-u", "--unset", "-C", "--chdir"], 0),
    ("exec", &["-a"], 0),
    ("flock", &["-w", "-E"], 1),
    ("ionice", &["-c", "-n", "-p"], 0),
    ("nice", &["-n"], 0),
    ("nohup", &[], 0),
    ("setsid", &[], 0),
    ("stdbuf", &["-i", "-o", "-e"], 0),
    ("strace", &["-e", "-o", "-p", "-s"], 0),
    ("sudo", &["-u", "-g", "-h", "-p", "-C", "-r", "-t", "-U", "-D", "-R", "-T"], 0),
    ("time", &["-f", "-o"], 0),
    ("timeout", &["-s", "-k", "--signal", "--kill-after"], 1),
    ("toybox", &[], 0),
    ("unbuffer", &[], 0),
    ("watch", &["-n", "--interval"], 0),
    ("xargs", &["-I", "-n", "-P", "-L", "-d", "-E", "-s", "-a"], 0),
];

/// Shells: what they are given is a script.
pub(crate) const SHELLS: &[&str] = &["ash", "bash", "dash", "fish", "ksh", "mksh", "rbash", "sh", "zsh"];

/// Programs that run a program's text: (name, options that give it).
pub(crate) const INTERPRETERS: &[(&str, &[&str])] = &[
    ("awk", &[]),
    ("bun", &["-e", "--eval"]),
    ("deno", &["eval"]),
    ("gawk", &[]),
    ("lua", &["-e"]),
    ("node", &["-e", "--eval", "-p", "--print"]),
    ("osascript", &["-e"]),
    ("perl", &["-e", "-E"]),
    ("php", &["-r"]),
    ("pwsh", &["-c", "-Command", "-EncodedCommand"]),
    ("powershell", &["-c", "-Command", "-EncodedCommand"]),
    ("python", &["-c"]),
    ("python3", &["-c"]),
    ("ruby", &["-e"]),
    ("tclsh", &[]),
];

/// Programs that fetch what others wrote.
pub(crate) const FETCHERS: &[&str] = &["aria2c", "curl", "fetch", "ftp", "http", "nc", "ncat", "scp", "wget", "xh"];

/// When a line of [`EFFECTS`] applies.
enum When {
    /// Always.
    Always,
    /// The first argument that is no option is one of these.
    Verb(&'static [&'static str]),
    /// The first two arguments that are no options are these.
    Verbs(&'static [(&'static str, &'static str)]),
    /// One of these options is given, alone or among short ones.
    Option(&'static [&'static str]),
    /// The verb is the first, and one of the options is given.
    VerbOption(&'static str, &'static [&'static str]),
}

use Level::{Caution, Danger};
use When::{Always, Option as Opt, Verb, VerbOption, Verbs};

/// What programs do: (program, when, how bad, what it does). The worst lines that apply are said.
const EFFECTS: &[(&str, When, Level, &str)] = &[
    ("rm", Opt(&["-r", "-R", "--recursive"]), Danger, "deletes whole directories"),
    ("rm", Opt(&["-f", "--force"]), Danger, "deletes without asking"),
    ("rm", Always, Danger, "deletes files"),
    ("rmdir", Always, Caution, "deletes empty directories"),
    ("unlink", Always, Danger, "deletes a file"),
    ("shred", Always, Danger, "destroys files beyond recovery"),
    ("srm", Always, Danger, "destroys files beyond recovery"),
    ("truncate", Always, Danger, "cuts files off"),
    ("find", Opt(&["-delete"]), Danger, "deletes what it finds"),
    ("find", Opt(&["-fprint", "-fprintf", "-fls"]), Caution, "writes a file"),
    ("dd", Always, Danger, "copies raw blocks, over whatever is there"),
    ("mkfs", Always, Danger, "formats a disk"),
    ("fdisk", Always, Danger, "repartitions a disk"),
    ("parted", Always, Danger, "repartitions a disk"),
    ("diskutil", Always, Danger, "changes disks"),
    ("wipefs", Always, Danger, "erases a file system"),
    ("mount", Always, Danger, "mounts a file system"),
    ("umount", Always, Danger, "unmounts a file system"),
    ("sudo", Always, Danger, "runs with the rights of another user"),
    ("doas", Always, Danger, "runs with the rights of another user"),
    ("pkexec", Always, Danger, "runs with the rights of another user"),
    ("runuser", Always, Danger, "runs with the rights of another user"),
    ("su", Always, Danger, "runs with the rights of another user"),
    ("chroot", Always, Danger, "runs in another root"),
    ("chmod", Opt(&["-R", "--recursive"]), Danger, "changes the rights of whole directories"),
    ("chmod", Always, Caution, "changes who may read, write or run files"),
    ("chown", Always, Danger, "gives files to another user"),
    ("chgrp", Always, Caution, "gives files to another group"),
    ("setfacl", Always, Danger, "changes who may read or write files"),
    ("chattr", Always, Danger, "changes what may be done with files"),
    ("passwd", Always, Danger, "changes a password"),
    ("useradd", Always, Danger, "changes the system's users"),
    ("usermod", Always, Danger, "changes the system's users"),
    ("userdel", Always, Danger, "changes the system's users"),
    ("visudo", Always, Danger, "changes who may become another user"),
    ("kill", Always, Danger, "ends processes"),
    ("killall", Always, Danger, "ends processes by name"),
    ("pkill", Always, Danger, "ends processes by name"),
    ("shutdown", Always, Danger, "stops the machine"),
    ("reboot", Always, Danger, "restarts the machine"),
    ("poweroff", Always, Danger, "stops the machine"),
    ("halt", Always, Danger, "stops the machine"),
    ("init", Always, Danger, "changes what the machine runs"),
    (
        "systemctl",
        Verb(&["status", "show", "cat", "list-units", "is-active", "is-enabled"]),
        Caution,
        "asks about services",
    ),
    (
        "systemctl",
        Verb(&[
            "start",
            "stop",
            "restart",
            "reload",
            "enable",
            "disable",
            "mask",
            "kill",
            "daemon-reload",
            "poweroff",
            "reboot",
            "isolate",
            "edit",
            "set-property",
        ]),
        Danger,
        "changes services",
    ),
    ("service", Always, Danger, "changes services"),
    ("launchctl", Always, Danger, "changes services"),
    ("crontab", Always, Danger, "changes what runs by the clock"),
    ("at", Always, Danger, "runs something later"),
    ("iptables", Always, Danger, "changes the firewall"),
    ("nft", Always, Danger, "changes the firewall"),
    ("ufw", Always, Danger, "changes the firewall"),
    ("sysctl", Always, Danger, "changes the kernel's settings"),
    ("insmod", Always, Danger, "loads code into the kernel"),
    ("modprobe", Always, Danger, "loads code into the kernel"),
    ("history", Opt(&["-c", "-d"]), Danger, "erases the shell's history"),
    ("eval", Always, Danger, "runs text as a command"),
    ("source", Always, Caution, "runs the commands in a file"),
    (".", Always, Caution, "runs the commands in a file"),
    ("trap", Always, Caution, "runs a command when something happens"),
    ("alias", Always, Caution, "changes what a command means"),
    ("export", Always, Caution, "sets variables for what follows"),
    ("set", Always, Caution, "changes how the shell works"),
    ("shopt", Always, Caution, "changes how the shell works"),
    ("unset", Always, Caution, "changes variables"),
    ("printenv", Always, Caution, "prints the environment, which often holds secrets"),
    ("env", Always, Caution, "works on the environment, which often holds secrets"),
    ("tee", Always, Caution, "writes files"),
    ("mv", Always, Caution, "moves files, over whatever is there"),
    ("cp", Always, Caution, "writes files, over whatever is there"),
    ("ln", Always, Caution, "makes links"),
    ("mkdir", Always, Caution, "makes directories"),
    ("touch", Always, Caution, "makes files"),
    ("install", Always, Caution, "writes files"),
    ("sed", Opt(&["-i", "--in-place"]), Caution, "changes files in place"),
    ("perl", Opt(&["-i"]), Caution, "changes files in place"),
    ("patch", Always, Caution, "changes files"),
    ("sort", Opt(&["-o", "--output"]), Caution, "writes a file"),
    ("tar", Always, Caution, "packs or unpacks files, over whatever is there"),
    ("unzip", Always, Caution, "unpacks files, over whatever is there"),
    ("hostname", Opt(&["-F", "-b"]), Danger, "renames the machine"),
    (
        "curl",
        Opt(&[
            "-d",
            "--data",
            "--data-binary",
            "--data-raw",
            "--data-urlencode",
            "-F",
            "--form",
            "-T",
            "--upload-file",
            "--json",
        ]),
        Danger,
        "sends data to a server",
    ),
    ("curl", Opt(&["-X", "--request"]), Caution, "makes an HTTP request of its own kind"),
    ("curl", Opt(&["-k", "--insecure"]), Danger, "does not check who it talks to"),
    ("curl", Opt(&["-K", "--config"]), Danger, "takes its options from a file"),
    ("curl", Always, Caution, "talks to a server"),
    ("wget", Opt(&["--post-data", "--post-file", "--body-data", "--body-file"]), Danger, "sends data to a server"),
    ("wget", Always, Caution, "downloads from a server"),
    ("nc", Opt(&["-e", "-c"]), Danger, "gives a shell to the network"),
    ("nc", Always, Danger, "opens a raw network connection"),
    ("ncat", Always, Danger, "opens a raw network connection"),
    ("socat", Always, Danger, "opens a raw network connection"),
    ("telnet", Always, Danger, "opens a raw network connection"),
    ("ssh", Always, Danger, "runs commands on another machine"),
    ("scp", Always, Danger, "copies files to or from another machine"),
    ("sftp", Always, Danger, "copies files to or from another machine"),
    ("rsync", Opt(&["--delete", "--remove-source-files"]), Danger, "deletes what is not at the source"),
    ("rsync", Always, Caution, "copies files, over whatever is there"),
    ("mail", Always, Danger, "sends mail"),
    ("sendmail", Always, Danger, "sends mail"),
    (
        "git",
        VerbOption("push", &["-f", "--force", "--force-with-lease", "--mirror", "-d", "--delete", "--prune"]),
        Danger,
        "rewrites or deletes published history",
    ),
    ("git", Verb(&["push"]), Danger, "publishes commits"),
    ("git", VerbOption("reset", &["--hard"]), Danger, "throws changes away"),
    ("git", VerbOption("clean", &["-f", "--force"]), Danger, "deletes files git does not know"),
    ("git", Verb(&["restore"]), Danger, "throws changes away"),
    ("git", VerbOption("checkout", &["-f", "--force", "--"]), Danger, "throws changes away"),
    ("git", VerbOption("branch", &["-D", "-d", "--delete"]), Danger, "deletes branches"),
    ("git", VerbOption("tag", &["-d", "--delete"]), Danger, "deletes tags"),
    ("git", Verbs(&[("stash", "drop"), ("stash", "clear")]), Danger, "throws changes away"),
    (
        "git",
        Verbs(&[("reflog", "expire"), ("remote", "remove"), ("remote", "set-url"), ("worktree", "remove")]),
        Danger,
        "removes what git needs to undo",
    ),
    ("git", Verb(&["filter-branch", "filter-repo", "rebase", "update-ref", "gc"]), Danger, "rewrites history"),
    ("git", Verb(&["config"]), Danger, "changes git's configuration, which can run programs"),
    ("git", Opt(&["-c", "--exec-path", "--config-env"]), Danger, "changes git's configuration, which can run programs"),
    (
        "git",
        Opt(&["--output", "-O", "--ext-diff", "--textconv", "--upload-pack", "--receive-pack"]),
        Danger,
        "makes git write a file or run a program",
    ),
    (
        "gh",
        Verbs(&[
            ("pr", "merge"),
            ("repo", "delete"),
            ("release", "create"),
            ("release", "delete"),
            ("secret", "set"),
            ("workflow", "run"),
            ("repo", "edit"),
        ]),
        Danger,
        "changes the repository on its server",
    ),
    ("gh", Verb(&["api", "auth", "secret", "ssh-key", "gpg-key"]), Danger, "uses the account on the server"),
    ("docker", Opt(&["--privileged"]), Danger, "runs a container with all rights of the machine"),
    (
        "docker",
        Verb(&["rm", "rmi", "kill", "stop", "push", "exec", "login", "prune"]),
        Danger,
        "changes containers or images",
    ),
    (
        "docker",
        Verbs(&[
            ("system", "prune"),
            ("volume", "rm"),
            ("volume", "prune"),
            ("image", "rm"),
            ("image", "prune"),
            ("container", "rm"),
            ("container", "prune"),
            ("compose", "down"),
            ("network", "rm"),
        ]),
        Danger,
        "deletes containers, images or their data",
    ),
    ("kubectl", Verb(&["get", "describe", "logs", "explain", "version", "top"]), Caution, "asks a cluster"),
    (
        "kubectl",
        Verb(&[
            "apply",
            "create",
            "delete",
            "edit",
            "patch",
            "replace",
            "scale",
            "rollout",
            "drain",
            "cordon",
            "exec",
            "cp",
            "run",
            "set",
            "label",
            "annotate",
            "port-forward",
            "proxy",
        ]),
        Danger,
        "changes a cluster",
    ),
    ("helm", Verb(&["install", "upgrade", "uninstall", "delete", "rollback"]), Danger, "changes a cluster"),
    (
        "terraform",
        Verb(&["apply", "destroy", "import", "taint", "state", "workspace"]),
        Danger,
        "changes infrastructure",
    ),
    ("tofu", Verb(&["apply", "destroy", "import", "taint", "state", "workspace"]), Danger, "changes infrastructure"),
    ("pulumi", Verb(&["up", "destroy", "cancel", "stack"]), Danger, "changes infrastructure"),
    ("ansible-playbook", Always, Danger, "changes other machines"),
    ("ansible", Always, Danger, "changes other machines"),
    ("aws", Always, Danger, "acts on a cloud account"),
    ("az", Always, Danger, "acts on a cloud account"),
    ("gcloud", Always, Danger, "acts on a cloud account"),
    ("gsutil", Always, Danger, "acts on a cloud account"),
    ("doctl", Always, Danger, "acts on a cloud account"),
    ("flyctl", Always, Danger, "acts on a cloud account"),
    ("heroku", Always, Danger, "acts on a cloud account"),
    ("vercel", Always, Danger, "acts on a cloud account"),
    ("stripe", Always, Danger, "acts on a payment account"),
    ("cargo", Verb(&["publish", "yank", "owner", "login"]), Danger, "changes what is published"),
    (
        "npm",
        Verb(&["publish", "unpublish", "deprecate", "owner", "access", "token", "login"]),
        Danger,
        "changes what is published",
    ),
    ("pnpm", Verb(&["publish"]), Danger, "changes what is published"),
    ("yarn", Verb(&["publish", "npm"]), Danger, "changes what is published"),
    ("twine", Always, Danger, "changes what is published"),
    ("gem", Verb(&["push", "yank"]), Danger, "changes what is published"),
    (
        "npm",
        Verb(&["install", "i", "ci", "add", "update", "exec", "run", "test", "start"]),
        Caution,
        "runs code of packages",
    ),
    ("pnpm", Always, Caution, "runs code of packages"),
    ("yarn", Always, Caution, "runs code of packages"),
    ("npx", Always, Caution, "runs a package from the network"),
    ("uvx", Always, Caution, "runs a package from the network"),
    ("pipx", Always, Caution, "runs a package from the network"),
    ("pip", Verb(&["install", "uninstall", "download"]), Caution, "runs code of packages"),
    ("pip3", Verb(&["install", "uninstall", "download"]), Caution, "runs code of packages"),
    ("apt", Always, Danger, "changes the system's packages"),
    ("apt-get", Always, Danger, "changes the system's packages"),
    ("dnf", Always, Danger, "changes the system's packages"),
    ("yum", Always, Danger, "changes the system's packages"),
    ("apk", Always, Danger, "changes the system's packages"),
    ("pacman", Always, Danger, "changes the system's packages"),
    ("brew", Verb(&["install", "uninstall", "upgrade", "reinstall"]), Caution, "changes installed packages"),
    ("make", Always, Caution, "runs what the makefile says"),
    (
        "cargo",
        Verb(&["build", "test", "run", "check", "install", "clippy", "bench", "add", "remove"]),
        Caution,
        "runs code of packages",
    ),
    ("psql", Always, Danger, "acts on a database"),
    ("mysql", Always, Danger, "acts on a database"),
    ("sqlite3", Always, Danger, "acts on a database"),
    ("mongosh", Always, Danger, "acts on a database"),
    ("redis-cli", Always, Danger, "acts on a database"),
    ("dropdb", Always, Danger, "deletes a database"),
    ("dropuser", Always, Danger, "deletes a database's user"),
    ("createdb", Always, Caution, "makes a database"),
];

/// Verbs of git that only read, unless an option in [`EFFECTS`] says otherwise.
const GIT_READS: &[&str] = &[
    "blame",
    "cat-file",
    "describe",
    "diff",
    "grep",
    "log",
    "ls-files",
    "ls-remote",
    "ls-tree",
    "merge-base",
    "rev-list",
    "rev-parse",
    "shortlog",
    "show",
    "show-ref",
    "status",
    "version",
];

/// What `program` does with these arguments, the worst first.
pub(crate) fn effects(program: &str, arguments: &[Word]) -> Vec<(Level, &'static str)> {
    let mut effects: Vec<(Level, &'static str)> = EFFECTS
        .iter()
        .filter(|(name, when, ..)| {
            (*name == program || (*name == "mkfs" && program.starts_with("mkfs."))) && when.applies(program, arguments)
        })
        .map(|(_, _, level, what)| (*level, *what))
        .collect();
    effects.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    // `rm -rf` deletes whole directories: that it deletes files goes without saying.
    let general = effects.len() > 1;
    if general && matches!(program, "rm" | "curl" | "git" | "chmod" | "wget" | "nc" | "rsync") {
        let last = EFFECTS.iter().rfind(|(name, when, ..)| *name == program && matches!(when, Always | Verb(_)));
        effects.retain(|(_, what)| last.is_none_or(|(.., general)| general != what));
    }
    effects
}

/// Whether `program` with these arguments is known to only read.
pub(crate) fn only_reads(program: &str, arguments: &[Word]) -> bool {
    let known = READERS.contains(&program)
        || matches!(program, "sort" | "find")
        || (program == "uniq" && arguments.iter().filter(|word| !word.value.starts_with('-')).count() < 2)
        || (program == "date" && arguments.iter().all(|word| word.value.starts_with('+') || word.value == "-u"))
        || (program == "git" && verbs(program, arguments).first().is_some_and(|verb| GIT_READS.contains(verb)));
    // An option nobody can read may be any option.
    let hidden =
        matches!(program, "sort" | "find" | "git" | "date" | "hostname") && arguments.iter().any(|word| word.computed);
    known && !hidden && effects(program, arguments).is_empty()
}

impl When {
    fn applies(&self, program: &str, arguments: &[Word]) -> bool {
        match self {
            When::Always => true,
            When::Verb(any) => verbs(program, arguments).first().is_some_and(|verb| any.contains(verb)),
            When::Verbs(any) => {
                let verbs = verbs(program, arguments);
                verbs.len() > 1 && any.contains(&(verbs[0], verbs[1]))
            }
            When::Option(any) => any.iter().any(|option| has(arguments, option)),
            When::VerbOption(verb, any) => {
                let verbs = verbs(program, arguments);
                let refspec =
                    *verb == "push" && verbs.iter().skip(1).any(|name| name.starts_with('+') || name.starts_with(':'));
                verbs.first() == Some(verb) && (refspec || any.iter().any(|option| has(arguments, option)))
            }
        }
    }
}

/// The first arguments that are no options.
fn verbs<'w>(program: &str, arguments: &'w [Word]) -> Vec<&'w str> {
    // Options before the verb that take a value.
    let valued: &[&str] = match program {
        "git" => &["-C", "-c", "--git-dir", "--work-tree", "--namespace"],
        "docker" => &["-H", "--host", "--context", "-c", "-l"],
        "kubectl" | "helm" => &["-n", "--namespace", "--context", "--kubeconfig", "-s", "--cluster", "--kube-context"],
        "npm" | "pnpm" | "yarn" => &["-C", "--prefix", "-w"],
        "gh" => &["-R", "--repo"],
        "systemctl" => &["-H", "-M", "-t", "-p"],
        _ => &[],
    };
    let mut verbs = Vec::new();
    let mut skip = false;
    for word in arguments {
        if std::mem::take(&mut skip) {
            continue;
        }
        if word.value.starts_with('-') && word.value.len() > 1 {
            skip = verbs.is_empty() && valued.contains(&word.value.as_str());
        } else {
            verbs.push(word.value.as_str());
        }
    }
    verbs
}

/// Whether an option is given: as it is, with `=value`, shortened, or among short ones.
fn has(arguments: &[Word], option: &str) -> bool {
    arguments.iter().any(|word| {
        let given = word.value.as_str();
        if given == option {
            return true;
        }
        if option == "--" || given == "--" {
            return false;
        }
        if let Some(long) = option.strip_prefix("--") {
            let name = given.strip_prefix("--").map(|given| given.split('=').next().unwrap_or_default());
            // GNU programs take a long option by any beginning that is unambiguous.
            return name.is_some_and(|name| name.len() >= 3 && long.starts_with(name));
        }
        let short = option.strip_prefix('-').filter(|letters| letters.chars().count() == 1);
        let cluster = given.strip_prefix('-').filter(|letters| letters.bytes().all(|b| b.is_ascii_alphabetic()));
        short.zip(cluster).is_some_and(|(letter, cluster)| cluster.contains(letter))
    })
}

//! Reads a script. Every loop moves forward, every nesting is counted: hostile input ends early, with
//! a word about it.

use super::{Command, Joint, Redirect, RedirectKind, Script, Word};

/// Longest script read, in bytes.
const BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of substitutions, subshells and quotes.
const DEPTH_MAX: usize = 12;
/// Most commands read.
const COMMANDS_MAX: usize = 400;

/// Reads `text` as a shell would.
pub(crate) fn read(text: &str) -> Script {
    let cut = &text[..text.floor_char_boundary(BYTES_MAX)];
    let mut reader = Reader::new(cut);
    let mut script = reader.script(None);
    script.trouble = reader.trouble;
    if cut.len() < text.len() {
        script.trouble.get_or_insert("it is longer than 64 KiB");
    }
    script
}

/// A command given as a list of arguments: no shell reads it.
pub(crate) fn read_argv(argv: &[&str]) -> Script {
    let mut command = Command::new(Joint::First);
    command.words = argv
        .iter()
        .map(|word| {
            let plain =
                !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b));
            let source = if plain { (*word).to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) };
            Word { value: (*word).to_owned(), source, ..Word::default() }
        })
        .collect();
    Script { commands: vec![command], ..Script::default() }
}

/// Where the reader stands, and what is left of its limits.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) commands: usize,
    /// How often something was read as arithmetic: if it was none, it is read once more.
    pub(super) attempts: usize,
    /// The first thing that could not be read; the reader then stands at the end.
    pub(super) trouble: Option<&'static str>,
    /// Texts that begin at the next line.
    pub(super) heredocs: Vec<Heredoc>,
}

/// A text in the script, announced by `<<mark`.
pub(super) struct Heredoc {
    mark: String,
    /// Tabs before its lines do not count.
    strip: bool,
    /// Variables and substitutions in it count.
    expanded: bool,
}

/// The compound commands a script is in the middle of.
#[derive(Default)]
struct Blocks {
    /// How many `case` are open.
    cases: usize,
    /// A compound command has just ended: what follows joins it.
    closed: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, commands: 0, attempts: 0, trouble: None, heredocs: Vec::new() }
    }

    /// Reads another text with what is left of this one's limits.
    pub(super) fn within<T>(&mut self, text: &str, read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        let (depth, commands, attempts) = (self.depth, self.commands, self.attempts);
        let mut reader = Reader { depth, commands, attempts, ..Reader::new(text) };
        let value = read(&mut reader);
        (self.commands, self.attempts) = (reader.commands, reader.attempts);
        if let Some(why) = reader.trouble {
            self.fail(why);
        }
        value
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn eat(&mut self, token: &str) -> bool {
        let eaten = self.rest().starts_with(token);
        if eaten {
            self.at += token.len();
        }
        eaten
    }

    pub(super) fn fail(&mut self, why: &'static str) {
        self.trouble.get_or_insert(why);
        self.at = self.text.len();
    }

    /// Runs `read` one level deeper.
    pub(super) fn deeper<T: Default>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        if self.depth >= DEPTH_MAX {
            self.fail("it is nested too deep");
            return T::default();
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn blanks(&mut self) {
        while self.eat(" ") || self.eat("\t") || self.eat("\\\n") {}
    }

    /// Reads commands up to the end, or to the parenthesis that closes them.
    pub(super) fn script(&mut self, closing: Option<u8>) -> Script {
        let mut script = Script::default();
        let mut command = Command::new(Joint::First);
        let mut blocks = Blocks::default();
        loop {
            self.blanks();
            let Some(next) = self.peek() else {
                if closing.is_some() {
                    self.fail("a parenthesis is not closed");
                }
                break;
            };
            let joint = match next {
                b'\n' => {
                    self.at += 1;
                    self.heredoc_bodies(&mut script, &mut command);
                    Joint::Then
                }
                b'#' => {
                    self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                    continue;
                }
                b';' => {
                    while self.eat(";") || self.eat("&") {}
                    Joint::Then
                }
                b'&' if self.rest().starts_with("&>") => {
                    self.redirect(&mut command);
                    continue;
                }
                b'&' if self.eat("&&") => Joint::And,
                b'&' => {
                    self.at += 1;
                    Joint::Background
                }
                b'|' if self.eat("||") => Joint::Or,
                b'|' => {
                    self.at += 1;
                    self.eat("&");
                    Joint::Pipe
                }
                b'(' => {
                    self.parenthesis(&mut command, &mut script);
                    continue;
                }
                b')' if closing.is_some() && blocks.cases == 0 => {
                    self.at += 1;
                    break;
                }
                b')' if blocks.cases > 0 => {
                    // The words before it were a pattern of `case`.
                    self.at += 1;
                    let joint = command.joint;
                    // What runs to compute the pattern runs all the same.
                    let inner = std::mem::take(&mut command.inner);
                    let scripts = command.words.into_iter().flat_map(|word| word.scripts);
                    let inner = inner.into_iter().chain(scripts).collect();
                    command = Command { inner, ..Command::new(joint) };
                    continue;
                }
                b')' => {
                    self.fail("a parenthesis closes nothing");
                    break;
                }
                b'<' | b'>' if !self.rest().starts_with("<(") && !self.rest().starts_with(">(") => {
                    self.redirect(&mut command);
                    continue;
                }
                _ => {
                    self.plain_word(&mut command, &mut script, &mut blocks);
                    continue;
                }
            };
            // A line may end after `|` and `&&`: what comes next is still joined by them.
            if !command.is_empty() || blocks.closed {
                self.push(&mut script, std::mem::replace(&mut command, Command::new(joint)));
                blocks.closed = false;
            }
        }
        self.heredocs.clear();
        self.push(&mut script, command);
        script
    }

    fn push(&mut self, script: &mut Script, command: Command) {
        if command.is_empty() {
            return;
        }
        self.commands += 1;
        if self.commands > COMMANDS_MAX {
            self.fail("it has more than 400 commands");
        }
        script.commands.push(command);
    }

    fn parenthesis(&mut self, command: &mut Command, script: &mut Script) {
        let starts = command.words.is_empty() && command.assignments.is_empty();
        let head = command.words.first().map(|word| word.source.clone());
        if command.words.len() == 1 && self.rest()[1..].trim_start_matches([' ', '\t']).starts_with(')') {
            // name() …
            self.at += 1;
            self.blanks();
            self.at += 1;
            script.functions.extend(head);
            command.words.clear();
        } else if (starts || (command.words.len() == 1 && head.as_deref() == Some("for")))
            && self.rest().starts_with("((")
            && let Some(word) = self.arithmetic()
        {
            command.syntax = true;
            command.words.push(word);
        } else if starts {
            self.at += 1;
            let inner = self.deeper(|reader| reader.script(Some(b')')));
            command.inner.push(inner);
        } else {
            self.fail("a parenthesis stands where none is expected");
        }
    }

    /// One word of a command, which may be syntax.
    fn plain_word(&mut self, command: &mut Command, script: &mut Script, blocks: &mut Blocks) {
        let start = self.at;
        let word = self.word();
        if self.at == start {
            self.fail("a character stands where none is expected");
            return;
        }
        let digits = !word.source.is_empty() && word.source.bytes().all(|b| b.is_ascii_digit());
        if digits && matches!(self.peek(), Some(b'<' | b'>')) {
            self.redirect(command);
            return;
        }
        if command.words.is_empty() && command.assignments.is_empty() && word.bare && !word.computed {
            match word.value.as_str() {
                "if" | "then" | "elif" | "else" | "while" | "until" | "do" | "!" | "{" | "coproc" => return,
                "fi" | "done" | "}" => {
                    blocks.closed = true;
                    return;
                }
                "esac" => {
                    blocks.cases = blocks.cases.saturating_sub(1);
                    blocks.closed = true;
                    return;
                }
                "for" | "select" => command.syntax = true,
                "case" => {
                    self.case_head(command);
                    blocks.cases += 1;
                    return;
                }
                "function" => {
                    self.blanks();
                    let name = self.word();
                    script.functions.push(name.value);
                    self.blanks();
                    if self.eat("(") {
                        self.blanks();
                        self.eat(")");
                    }
                    return;
                }
                "[[" => {
                    command.syntax = true;
                    command.words.push(word);
                    self.test(command);
                    return;
                }
                _ => {}
            }
        }
        if command.words.is_empty()
            && let Some((name, _)) = word.source.split_once('=')
            && is_variable(name)
        {
            let name = name.trim_end_matches('+').to_owned();
            command.assignments.push((name, word));
            return;
        }
        command.words.push(word);
    }

    /// `WORD in`, after `case`.
    fn case_head(&mut self, command: &mut Command) {
        for _ in 0..8 {
            while self.eat(" ") || self.eat("\t") || self.eat("\n") || self.eat("\\\n") {}
            let start = self.at;
            let word = self.word();
            if word.value == "in" && word.bare {
                return;
            }
            if self.at == start {
                break;
            }
            command.inner.extend(word.scripts);
        }
        self.fail("a `case` has no `in`");
    }

    /// Up to `]]`: a test, in which `<`, `&&` and parentheses are not the shell's.
    fn test(&mut self, command: &mut Command) {
        loop {
            while self.peek().is_some_and(|b| b" \t\n<>&|();!".contains(&b)) {
                if self.rest().starts_with("<(") || self.rest().starts_with(">(") {
                    break;
                }
                self.at += 1;
            }
            if self.peek().is_none() {
                return self.fail("a `[[` is not closed");
            }
            let start = self.at;
            let word = self.word();
            if word.value == "]]" && word.bare {
                return;
            }
            if self.at == start {
                return self.fail("a `[[` cannot be read");
            }
            command.words.push(word);
        }
    }

    fn redirect(&mut self, command: &mut Command) {
        let both = self.eat("&>>") || self.eat("&>");
        let kind = if both {
            RedirectKind::Write
        } else if self.eat("<<<") {
            RedirectKind::Text
        } else if self.rest().starts_with("<<") {
            return self.heredoc(command);
        } else if self.eat("<&") || self.eat(">&") {
            RedirectKind::Descriptor
        } else if self.eat(">>") {
            RedirectKind::Append
        } else if self.eat(">|") || self.eat("<>") || self.eat(">") {
            RedirectKind::Write
        } else {
            self.eat("<");
            RedirectKind::Read
        };
        self.blanks();
        let target = self.word();
        if target.source.is_empty() {
            return self.fail("a redirection has no target");
        }
        // `>& file` writes a file; only a number or `-` is a descriptor.
        let number = target.value.trim_end_matches('-').bytes().all(|b| b.is_ascii_digit());
        let kind = if kind == RedirectKind::Descriptor && !number { RedirectKind::Write } else { kind };
        command.redirects.push(Redirect { kind, target });
    }

    fn heredoc(&mut self, command: &mut Command) {
        self.at += 2;
        let strip = self.eat("-");
        self.blanks();
        let mark = self.word();
        if mark.source.is_empty() {
            return self.fail("a here-document has no end mark");
        }
        command.redirects.push(Redirect { kind: RedirectKind::Text, target: Word::default() });
        self.heredocs.push(Heredoc { mark: mark.value, strip, expanded: mark.bare });
    }

    /// Reads the texts announced on the line that just ended, into the redirections that wait for them.
    fn heredoc_bodies(&mut self, script: &mut Script, command: &mut Command) {
        for heredoc in std::mem::take(&mut self.heredocs) {
            let mut body = String::new();
            while self.at < self.text.len() {
                let rest = self.rest();
                let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
                let stripped = if heredoc.strip { line.trim_start_matches('\t') } else { line };
                let ends = stripped == heredoc.mark;
                if !ends {
                    body.push_str(stripped);
                    body.push('\n');
                }
                self.at = (self.at + line.len() + 1).min(self.text.len());
                if ends {
                    break;
                }
            }
            // An empty text is still one: its redirection no longer waits.
            let source = if body.is_empty() { "\n".to_owned() } else { body.clone() };
            let mut word = Word { source, value: body, ..Word::default() };
            if heredoc.expanded {
                self.expand(&mut word);
            }
            let commands = script.commands.iter_mut().chain(std::iter::once(&mut *command));
            let waiting = commands
                .flat_map(|command| &mut command.redirects)
                .find(|redirect| redirect.kind == RedirectKind::Text && redirect.target.source.is_empty());
            match waiting {
                Some(redirect) => redirect.target = word,
                None => command.inner.extend(word.scripts),
            }
        }
    }
}

pub(super) fn is_variable(name: &str) -> bool {
    let name = name.trim_end_matches('+');
    let name = name.split('[').next().unwrap_or_default();
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

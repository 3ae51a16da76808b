//! What statements do, and to which tables.

use super::tokens::{Token, tokens};
use crate::Level;

/// Most statements listed.
const STATEMENTS_MAX: usize = 40;
/// Most tables listed of one statement.
const TABLES_MAX: usize = 24;
/// Longest text read, in bytes.
const BYTES_MAX: usize = 256 * 1024;

/// One statement.
#[derive(Debug)]
pub(crate) struct Statement {
    /// Its verb, in capitals: `SELECT`, `DROP TABLE`.
    pub(crate) kind: String,
    /// The tables it names, each once.
    pub(crate) tables: Vec<String>,
    pub(crate) level: Level,
    /// Why it is not harmless.
    pub(crate) why: Vec<String>,
}

/// What a verb means: (verb, how bad, why).
const VERBS: &[(&str, Level, &str)] = &[
    ("alter", Level::Danger, "changes what the database is made of"),
    ("analyze", Level::Caution, "gathers statistics"),
    ("attach", Level::Danger, "opens another database"),
    ("backup", Level::Danger, "copies the database"),
    ("begin", Level::Low, ""),
    ("call", Level::Danger, "runs a procedure, whatever it does"),
    ("comment", Level::Caution, "changes a comment"),
    ("commit", Level::Caution, "makes changes last"),
    ("copy", Level::Danger, "moves data between tables and files or programs"),
    ("create", Level::Caution, "makes something new"),
    ("deallocate", Level::Caution, "forgets a statement"),
    ("declare", Level::Caution, "opens a cursor or begins a block"),
    ("delete", Level::Danger, "deletes rows"),
    ("desc", Level::Low, ""),
    ("describe", Level::Low, ""),
    ("detach", Level::Danger, "closes a database"),
    ("do", Level::Danger, "runs a program in the database"),
    ("drop", Level::Danger, "deletes something and all that is in it"),
    ("exec", Level::Danger, "runs a procedure, whatever it does"),
    ("execute", Level::Danger, "runs a prepared statement, whatever it does"),
    ("explain", Level::Low, ""),
    ("flush", Level::Danger, "drops what the server keeps in memory"),
    ("grant", Level::Danger, "gives rights away"),
    ("handler", Level::Caution, "reads a table directly"),
    ("insert", Level::Caution, "adds rows"),
    ("kill", Level::Danger, "ends somebody's connection"),
    ("load", Level::Danger, "reads a file or loads code into the database"),
    ("lock", Level::Danger, "keeps others out of tables"),
    ("merge", Level::Caution, "adds and changes rows"),
    ("optimize", Level::Caution, "rewrites tables"),
    ("pragma", Level::Caution, "reads or changes how the database works"),
    ("prepare", Level::Danger, "prepares a statement that is run later"),
    ("reassign", Level::Danger, "gives rights away"),
    ("refresh", Level::Caution, "recomputes a view"),
    ("reindex", Level::Caution, "rebuilds indexes"),
    ("release", Level::Low, ""),
    ("rename", Level::Danger, "renames tables"),
    ("replace", Level::Caution, "adds rows, over those there are"),
    ("reset", Level::Caution, "changes how the session works"),
    ("restore", Level::Danger, "puts an older state in place of this one"),
    ("revoke", Level::Danger, "takes rights away"),
    ("rollback", Level::Low, ""),
    ("savepoint", Level::Low, ""),
    ("select", Level::Low, ""),
    ("set", Level::Caution, "changes how the session works"),
    ("show", Level::Low, ""),
    ("shutdown", Level::Danger, "stops the server"),
    ("start", Level::Low, ""),
    ("table", Level::Low, ""),
    ("truncate", Level::Danger, "deletes every row"),
    ("update", Level::Caution, "changes rows"),
    ("upsert", Level::Caution, "adds and changes rows"),
    ("use", Level::Caution, "chooses another database"),
    ("vacuum", Level::Caution, "rewrites tables"),
    ("values", Level::Low, ""),
    ("with", Level::Low, ""),
];

/// Functions that reach out of the database or stop it, and the words that write files.
const REACHES: &[&str] = &[
    "dblink",
    "dblink_exec",
    "dbms_xslprocessor",
    "dumpfile",
    "load_extension",
    "load_file",
    "lo_export",
    "lo_import",
    "openrowset",
    "outfile",
    "pg_ls_dir",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_write_file",
    "program",
    "query_to_xml",
    "sp_oacreate",
    "sp_executesql",
    "sys_eval",
    "sys_exec",
    "utl_http",
    "writefile",
    "xp_cmdshell",
];

pub(crate) fn is_verb(word: &str) -> bool {
    VERBS.iter().any(|(verb, ..)| *verb == word)
}

/// The statements of `text`, and why it cannot be trusted to read as they say, if so.
pub(crate) fn statements(text: &str) -> (Vec<Statement>, Option<&'static str>) {
    let cut = &text[..text.floor_char_boundary(BYTES_MAX)];
    let (tokens, mut doubt) = tokens(cut);
    if cut.len() < text.len() {
        doubt.get_or_insert("it is too long to be read to its end");
    }
    let mut statements = Vec::new();
    for tokens in tokens.split(|token| *token == Token::Sign(';')).filter(|tokens| !tokens.is_empty()) {
        if statements.len() >= STATEMENTS_MAX {
            doubt.get_or_insert("it has more than 40 statements");
            break;
        }
        statements.push(statement(tokens));
    }
    (statements, doubt)
}

fn statement(tokens: &[Token<'_>]) -> Statement {
    let start = tokens.iter().position(|token| *token != Token::Sign('(')).unwrap_or(0);
    let first = tokens.get(start).and_then(Token::keyword).unwrap_or_default();
    let Some((_, level, why)) = VERBS.iter().find(|(verb, ..)| *verb == first) else {
        let why = vec!["is not a statement this reader knows".to_owned()];
        return Statement { kind: "?".to_owned(), tables: tables(tokens), level: Level::Danger, why };
    };
    let mut statement =
        Statement { kind: kind(&tokens[start..], &first), tables: tables(tokens), level: *level, why: Vec::new() };
    if !why.is_empty() {
        statement.why.push((*why).to_owned());
    }
    // Verbs inside: `WITH … DELETE`, `EXPLAIN ANALYZE DELETE`, `BEGIN … DELETE`.
    let plans_only = first == "explain" && !tokens.iter().any(|token| token.is("analyze") || token.is("analyse"));
    let carrier = matches!(first.as_str(), "with" | "explain" | "prepare" | "declare" | "begin" | "select" | "copy");
    if carrier && !plans_only {
        for inner in inner_verbs(&tokens[start + 1..]) {
            statement.worsen(inner.1, inner.2);
            statement.kind = format!("{} … {}", statement.kind, inner.0.to_uppercase());
        }
    }
    let everything =
        [("update", "changes every row: it has no WHERE"), ("delete", "deletes every row: it has no WHERE")];
    for (verb, what) in everything {
        let there =
            first == verb || (carrier && !plans_only && inner_verbs(tokens).iter().any(|inner| inner.0 == verb));
        if there && !tokens.iter().any(|token| token.is("where")) {
            statement.worsen(Level::Danger, what);
        }
    }
    if first == "select" && tokens.iter().any(|token| token.is("into")) {
        statement.worsen(Level::Caution, "writes its result into a table, a file or a variable");
    }
    if first == "select"
        && tokens.windows(2).any(|pair| pair[0].is("for") && (pair[1].is("update") || pair[1].is("share")))
    {
        statement.worsen(Level::Caution, "locks the rows it reads");
    }
    if let Some(word) = tokens.iter().find_map(|token| token.keyword().filter(|word| REACHES.contains(&word.as_str())))
    {
        statement.worsen(Level::Danger, &format!("reaches out of the database: `{word}`"));
    }
    statement
}

impl Statement {
    fn worsen(&mut self, level: Level, why: &str) {
        self.level = self.level.max(level);
        if !self.why.iter().any(|known| known == why) {
            self.why.push(why.to_owned());
        }
    }
}

/// Verbs that change something where a statement can begin: after `(`, `AS`, a parenthesis closed, or a word
/// that carries another.
fn inner_verbs(tokens: &[Token<'_>]) -> Vec<(&'static str, Level, &'static str)> {
    let mut found: Vec<(&str, Level, &str)> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let begins = at == 0
            || matches!(tokens[at - 1], Token::Sign('(' | ')'))
            || ["as", "analyze", "analyse", "begin", "then", "else", "verbose"]
                .iter()
                .any(|word| tokens[at - 1].is(word));
        let verb = VERBS.iter().find(|(verb, level, _)| token.is(verb) && *level != Level::Low);
        // A function of the same name (`replace(…)`) is none.
        let called = tokens.get(at + 1) == Some(&Token::Sign('('));
        if let Some(verb) = verb.filter(|_| begins && !called)
            && !found.iter().any(|known| known.0 == verb.0)
        {
            found.push(*verb);
        }
    }
    found
}

/// The verb, with what it is about: `DROP TABLE`, `CREATE UNIQUE INDEX`.
fn kind(tokens: &[Token<'_>], verb: &str) -> String {
    let mut kind = verb.to_uppercase();
    if matches!(verb, "create" | "drop" | "alter" | "truncate" | "rename" | "lock" | "comment" | "refresh" | "attach") {
        for word in tokens[1..].iter().take(3).map_while(Token::keyword) {
            const OBJECTS: &[&str] = &[
                "or",
                "replace",
                "unique",
                "temporary",
                "temp",
                "materialized",
                "table",
                "index",
                "view",
                "database",
                "schema",
                "role",
                "user",
                "function",
                "procedure",
                "trigger",
                "sequence",
                "type",
                "extension",
                "column",
                "policy",
                "publication",
                "subscription",
                "server",
                "system",
            ];
            if !OBJECTS.contains(&word.as_str()) {
                break;
            }
            kind.push(' ');
            kind.push_str(&word.to_uppercase());
        }
    }
    kind
}

/// The names that stand where tables do, each once.
fn tables(tokens: &[Token<'_>]) -> Vec<String> {
    let mut tables: Vec<String> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let introduces = tokens[at].keyword().is_some_and(|word| {
            let list = [
                "from",
                "join",
                "into",
                "update",
                "table",
                "truncate",
                "using",
                "references",
                "view",
                "database",
                "schema",
            ];
            list.contains(&word.as_str())
        });
        at += 1;
        if !introduces {
            continue;
        }
        loop {
            while tokens.get(at).is_some_and(|token| {
                ["only", "lateral", "if", "exists", "not", "ignore", "table", "low_priority", "concurrently"]
                    .iter()
                    .any(|word| token.is(word))
            }) {
                at += 1;
            }
            let Some((name, end)) = name(tokens, at) else { break };
            at = end;
            if tables.len() < TABLES_MAX && !tables.contains(&name) {
                tables.push(name);
            }
            // FROM a AS x, b y
            let alias = tokens.get(at..at + 3).and_then(|next| {
                let skip = usize::from(next[0].is("as"));
                let named = matches!(next[skip], Token::Word(_) | Token::Quoted(_));
                (named && next.get(skip + 1) == Some(&Token::Sign(','))).then_some(skip + 1)
            });
            at += alias.unwrap_or(0);
            if tokens.get(at) != Some(&Token::Sign(',')) {
                break;
            }
            at += 1;
        }
    }
    tables
}

/// A name with its qualifiers, and where it ends.
fn name(tokens: &[Token<'_>], start: usize) -> Option<(String, usize)> {
    const NO_NAMES: &[&str] =
        &["select", "set", "values", "where", "outfile", "dumpfile", "unnest", "stdin", "stdout", "and", "or"];
    let mut parts: Vec<&str> = Vec::new();
    let mut at = start;
    while parts.len() < 4 {
        match tokens.get(at)? {
            Token::Word(word) if !NO_NAMES.contains(&word.to_ascii_lowercase().as_str()) => parts.push(word),
            Token::Quoted(word) => parts.push(word),
            _ => break,
        }
        at += 1;
        if tokens.get(at) != Some(&Token::Sign('.')) {
            break;
        }
        at += 1;
    }
    (!parts.is_empty()).then(|| (parts.join("."), at))
}
